"""Further names of indices: what an alias may be, and how a list of changes is carried out as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from quidditch.errors import IndexNotFound, RequestError
from quidditch.index.catalog import IndexEntry, check_name
from quidditch.patterns import matches
from quidditch.query import parse
from quidditch.schema.mapping import nearest
from quidditch.types import Json

OPTIONS = ("filter", "routing", "index_routing", "search_routing", "is_write_index", "is_hidden")
_ACTIONS = ("add", "remove", "remove_index")
_KEYS = ("index", "indices", "alias", "aliases", "must_exist", *OPTIONS)


def check_alias(name: str, options: Mapping[str, Json], indices: Iterable[str]) -> dict[str, Any]:
    """What the catalogue keeps of an alias: its options, `routing` as the two that it stands for.

    raises: RequestError   a name that no index may have either, or that one has; an unknown option
            QueryError     a filter that is no query
    """
    check_name(name)
    if name in indices:
        raise RequestError(f"alias [{name}]: an index has this name")
    for key, value in options.items():
        if key not in OPTIONS:
            raise RequestError(f"alias [{name}]: unknown option [{key}]{nearest(key, OPTIONS)}")
        if key in ("is_write_index", "is_hidden") and not isinstance(value, bool | None):
            raise RequestError(f"alias [{name}]: {key}: true or false expected, not {value!r}")
    kept = {key: value for key, value in options.items() if value is not None}
    if kept.get("filter"):
        parse(kept["filter"], f"alias [{name}]: filter")
    else:
        kept.pop("filter", None)
    routing = kept.pop("routing", None)
    if routing is not None:
        kept = {"index_routing": routing, "search_routing": routing, **kept}
    return {key: str(value) if key.endswith("routing") else value for key, value in kept.items()}


def alter_aliases(entries: dict[str, IndexEntry], actions: Iterable[Json]) -> Mapping[str, IndexEntry | None]:
    """The entries after a list of `{"add": {...}}` and `{"remove": {...}}`, carried out in order.

    Each names an `index` or `indices`, which may hold `*`, and an `alias` or `aliases`. A `{"remove_index": {...}}`
    goes before them all, wherever it stands; None is the entry of an index that it names.
    raises: IndexNotFound    no index of that name
            RequestError     an action that is malformed, or an alias to remove that is not there
    """
    parts = [_checked(action) for action in actions]
    doomed: list[str] = []
    for op, body in parts:
        if op == "remove_index":
            doomed += _indices(_list(body, "index", "indices", op), entries)
    after = {name: entry for name, entry in entries.items() if name not in doomed}
    for op, body in parts:
        if op == "remove_index":
            continue
        names = _indices(_list(body, "index", "indices", op), after)
        aliases = _list(body, "alias", "aliases", op)
        if op == "add":
            _add(after, names, aliases, {key: body[key] for key in OPTIONS if key in body})
        else:
            _remove(after, names, aliases, bool(body.get("must_exist", True)))
    return {**after, **dict.fromkeys(doomed)}


def _checked(action: Json) -> tuple[str, dict[str, Json]]:
    """The name of an action and what it is about."""
    if not isinstance(action, dict) or len(action) != 1 or next(iter(action)) not in _ACTIONS:
        raise RequestError(f'aliases: {{"add": ...}} or {{"remove": ...}} expected, not {action!r:.80}')
    op, body = next(iter(action.items()))
    if not isinstance(body, dict):
        raise RequestError(f"aliases: an object expected in [{op}], not {body!r:.80}")
    known = ("index", "indices", "must_exist") if op == "remove_index" else _KEYS
    for key in body:
        if key not in known:
            raise RequestError(f"aliases: unknown key [{key}] in [{op}]{nearest(key, known)}")
    return op, body


def _list(body: dict[str, Json], one: str, many: str, op: str) -> list[str]:
    value = body.get(one, body.get(many))
    values = [value] if isinstance(value, str) else value
    if (
        not isinstance(values, list)
        or not values
        or not all(isinstance(each, str) and each for each in values)
    ):
        raise RequestError(f"aliases: [{op}] needs [{one}] or [{many}]")
    return [part for each in values for part in each.split(",")]


def _indices(patterns: Iterable[str], entries: Iterable[str]) -> list[str]:
    known = list(entries)
    found: list[str] = []
    for pattern in patterns:
        matching = [name for name in known if matches(name, "*" if pattern == "_all" else pattern)]
        if not matching:
            raise IndexNotFound(f"no index [{pattern}]{nearest(pattern, known)}")
        found += [name for name in matching if name not in found]
    return found


def _add(
    after: dict[str, IndexEntry], names: list[str], aliases: list[str], options: dict[str, Json]
) -> None:
    for alias in aliases:
        kept = check_alias(alias, options, after)
        for name in names:
            entry = after[name]
            after[name] = msgspec.structs.replace(entry, aliases={**entry.aliases, alias: kept})
        writers = [
            name for name, entry in after.items() if entry.aliases.get(alias, {}).get("is_write_index")
        ]
        if len(writers) > 1:
            raise RequestError(f"alias [{alias}] has more than one write index [{','.join(writers)}]")


def _remove(after: dict[str, IndexEntry], names: list[str], patterns: list[str], must_exist: bool) -> None:
    patterns = ["*" if pattern == "_all" else pattern for pattern in patterns]
    found = False
    for name in names:
        entry = after[name]
        left = {
            alias: options
            for alias, options in entry.aliases.items()
            if not any(matches(alias, pattern) for pattern in patterns)
        }
        found = found or len(left) < len(entry.aliases)
        after[name] = msgspec.structs.replace(entry, aliases=left)
    if must_exist and not found:
        raise AliasNotFound(f"aliases [{','.join(patterns)}] missing")


class AliasNotFound(RequestError):
    """None of the aliases to remove is there."""

    status = 404
    type = "aliases_not_found_exception"
