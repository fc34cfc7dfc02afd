"""Index expressions to names: lists with commas, patterns, exclusions, aliases, and what may be missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quidditch.errors import IndexClosed, IndexExists
from quidditch.interface import Database, Index, IndexInfo
from quidditch.patterns import matches
from quidditch.server.call import Call
from quidditch.server.failures import RestError, no_such_index
from quidditch.server.making import make_index
from quidditch.server.security.guarding import missing

OPTIONS = "ignore_unavailable allow_no_indices expand_wildcards"
"""Parameters of every route that takes an expression."""

_STATES = ("open", "closed", "hidden", "none", "all")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What an expression names.

    names:    indices and aliases as they were meant, to search by
    indices:  the indices that these are, in the order of the names
    infos:    of all indices
    """

    names: list[str]
    indices: list[str]
    infos: dict[str, IndexInfo]

    @property
    def expression(self) -> str:
        return ",".join(self.names)

    def narrowing(self, index: str) -> Any:
        """What the aliases that named an index narrow it to; None where it was named itself, or by one that does
        not."""
        having = [
            self.infos[index].aliases[name].get("filter")
            for name in self.names
            if name in self.infos[index].aliases
        ]
        if index in self.names or not having or None in having:
            return None
        return having[0] if len(having) == 1 else {"bool": {"should": having}}

    def narrowed(self, index: str, query: Any) -> Any:
        """A query, or None for all documents, of those that the aliases leave of an index."""
        narrowing = self.narrowing(index)
        if narrowing is None:
            return query
        return {"bool": {"must": [] if query is None else [query], "filter": [narrowing]}}


def resolve(
    call: Call,
    expression: str | None = None,
    *,
    allow_no_indices: bool = True,
    expand: str = "open",
    closed: bool = False,
    aliases: bool = True,
) -> Resolved:
    """What the expression, or else the path's `index`, names. The request's parameters go before the defaults given.

    expand:   states of indices that patterns stand for, with commas
    closed:   a closed index may be named
    aliases:  an alias may be named
    raises: RestError, IndexClosed   for a name that is not there, or not as it must be
    """
    parameters = call.parameters
    text = call.parts.get("index", "_all") if expression is None else expression
    states = {part for part in parameters.text("expand_wildcards", expand).split(",") if part}
    if not states <= set(_STATES):
        raise RestError(f"No valid expand wildcard value [{sorted(states - set(_STATES))[0]}]")
    lenient = parameters.flag("ignore_unavailable")
    allow_none = parameters.flag("allow_no_indices", allow_no_indices)
    resolver = _Resolver(call.database, states, lenient, allow_none, aliases)
    names = resolver.names([part for part in text.split(",") if part] or ["_all"])
    indices = list(dict.fromkeys(index for name in names for index in resolver.behind(name)))
    if not closed:
        shut = [index for index in indices if resolver.infos[index].closed]
        if shut and not lenient:
            raise IndexClosed(f"closed index [{shut[0]}]")
        indices = [index for index in indices if index not in shut]
        names = [name for name in names if name not in shut]
    if not indices and not allow_none:
        raise no_such_index(text)
    return Resolved(names, indices, resolver.infos)


class _Resolver:
    def __init__(
        self, database: Database, states: set[str], lenient: bool, allow_none: bool, aliases: bool
    ) -> None:
        self.infos = infos = database.describe()
        self._database = database
        self._aliases = (
            sorted({alias for info in infos.values() for alias in info.aliases}) if aliases else []
        )
        self._states = states
        self._lenient = lenient
        self._allow_none = allow_none

    def names(self, parts: Sequence[str]) -> list[str]:
        found: list[str] = []
        patterns = False
        for part in parts:
            if part.startswith("-") and patterns:
                found = [name for name in found if not matches(name, part[1:])]
            elif part in ("_all", "*") or "*" in part:
                patterns = True
                matching = self._expand("*" if part == "_all" else part)
                if not matching and not self._allow_none:
                    raise no_such_index(part)
                found += [name for name in matching if name not in found]
            elif self._exists(part) and part not in found:
                found.append(part)
        return found

    def _exists(self, name: str) -> bool:
        if name in self.infos or name in self._aliases:
            return True
        if name.startswith("_"):
            raise invalid_name(name, "must not start with '_', '-', or '+'")
        if self._lenient:
            return False
        raise missing(self._database, name)

    def _expand(self, pattern: str) -> list[str]:
        if "none" in self._states:
            return []
        names = [name for name in self.infos if matches(name, pattern) and self._means(pattern, name)]
        # `*` stands for the indices themselves, which aliases would only name again.
        aliases = [] if pattern == "*" else [one for one in self._aliases if matches(one, pattern)]
        return names + [alias for alias in aliases if self._shown(pattern, alias)]

    def _means(self, pattern: str, name: str) -> bool:
        """Whether a pattern stands for an index that it matches: by its state, and if it hides, only when asked."""
        info = self.infos[name]
        if "all" in self._states:
            return True
        if ("closed" if info.closed else "open") not in self._states:
            return False
        hides = is_hidden(info) and "hidden" not in self._states
        return not hides or (pattern.startswith(".") and name.startswith("."))

    def _shown(self, pattern: str, alias: str) -> bool:
        if {"all", "hidden"} & self._states or (pattern.startswith(".") and alias.startswith(".")):
            return True
        having = [info.aliases[alias] for info in self.infos.values() if alias in info.aliases]
        return not any(options.get("is_hidden") for options in having)

    def behind(self, name: str) -> list[str]:
        if name in self.infos:
            return [name]
        return [index for index, info in self.infos.items() if name in info.aliases]


def is_hidden(info: IndexInfo) -> bool:
    """Whether patterns pass an index by."""
    return info.settings.get("hidden") in (True, "true")


def invalid_name(name: str, rule: str) -> RestError:
    detail: dict[str, Any] = {"index": name, "index_uuid": "_na_"}
    return RestError(f"Invalid index name [{name}], {rule}", 400, "invalid_index_name_exception", detail)


def one_index(call: Call, name: str | None = None) -> Index:
    """The one index that a read of a document means, which may be an alias of it.

    raises: RestError   404, or 400 for an alias of several
    """
    name = call.parts["index"] if name is None else name
    indices = resolve(call, name, allow_no_indices=False).indices
    if len(indices) > 1:
        raise RestError(
            f"alias [{name}] has more than one index associated with it [{', '.join(indices)}], can't execute a "
            "single index op"
        )
    return call.database.index(indices[0])


def written_index(call: Call, name: str, create: bool = True) -> Index:
    """The index that a write to a name goes to: itself, the write index of an alias, or one made for it.

    raises: RestError   404 where none is there and none is to be made; 400 for an alias without a write index
    """
    if name in call.database:
        return call.database.index(name)
    having = {
        index: info.aliases[name] for index, info in call.database.describe().items() if name in info.aliases
    }
    if having:
        writers = [index for index, options in having.items() if options.get("is_write_index")]
        if (
            not writers
            and len(having) == 1
            and next(iter(having.values())).get("is_write_index") is not False
        ):
            writers = list(having)
        if not writers:
            raise RestError(
                f"no write index is defined for alias [{name}]. The write index may be explicitly disabled using "
                "is_write_index=false or the alias points to multiple indices without one being designated as a "
                "write index"
            )
        return call.database.index(writers[0])
    if call.parameters.flag("require_alias"):
        raise RestError(
            f"no such index [{name}] and [require_alias] request flag is [true] and [{name}] is not an alias",
            404,
            "index_not_found_exception",
        )
    if not create or not call.parameters.flag("create_index", True):
        raise missing(call.database, name)
    return _made(call, name)


def _made(call: Call, name: str) -> Index:
    """A new index of this name, or the one that another request has made meanwhile."""
    check_index_name(name)
    try:
        return make_index(call.database, name, {})
    except IndexExists:
        return call.database.index(name)


def check_index_name(name: str) -> None:
    """raises: RestError   in OpenSearch's words, for a name that no index may have"""
    if name in (".", ".."):
        raise invalid_name(name, "must not be '.' or '..'")
    if name[:1] in ("_", "-", "+"):
        raise invalid_name(name, "must not start with '_', '-', or '+'")
    if name != name.lower():
        raise invalid_name(name, "must be lowercase")
    if any(character in '\\/*?"<>| ,#:' or not character.isprintable() for character in name):
        raise invalid_name(
            name, 'must not contain the following characters [ , ", *, \\, <, |, ,, >, /, ?, #, :]'
        )
    if len(name.encode()) > 255:
        raise invalid_name(name, "index name is too long, (more than 255 bytes)")
