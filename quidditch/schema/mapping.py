"""The mapping of an index: which fields there are, how each is indexed, and what happens to unknown ones.

A Mapping never changes; `merged` gives a new one with more fields. What OpenSearch lets a mapping say beyond
FIELD_TYPES and `_PARAMETERS` is refused by name, so a mapping never means less than it says.
"""

from __future__ import annotations

import builtins
import fnmatch
import re
from collections.abc import Callable, Collection, Iterable
from collections.abc import Mapping as Dict
from dataclasses import MISSING, dataclass
from dataclasses import fields as dataclass_fields
from typing import Any, Literal, TypeAlias

from quidditch.errors import LimitExceeded, MappingError
from quidditch.schema.dates import check_formats
from quidditch.schema.fields import FIELD_TYPES, SIMILARITIES, Field, TextField, spell
from quidditch.types import Json

Dynamic: TypeAlias = Literal["true", "false", "strict"]

TOTAL_FIELDS_LIMIT = 1000
"""Fields, multi-fields and objects of one index; OpenSearch's index.mapping.total_fields.limit."""

DEPTH_LIMIT = 20
"""Names in one dotted path; OpenSearch's index.mapping.depth.limit."""

NAME_BYTES_LIMIT = 255
"""UTF-8 bytes of a whole dotted path: a path is part of storage keys."""


@dataclass(frozen=True, slots=True)
class ObjectField:
    """A place in documents that holds further fields; `dynamic` is None where the parent decides."""

    path: str
    dynamic: Dynamic | None = None


class Mapping:
    """The fields of an index by full path, and the objects between them. Compares by value."""

    __slots__ = ("_by_source", "fields", "objects", "routing_required")

    fields: dict[str, Field]
    objects: dict[str, ObjectField]
    routing_required: bool

    def __init__(
        self, fields: Dict[str, Field], objects: Dict[str, ObjectField], routing_required: bool = False
    ) -> None:
        """`objects` has the root under ""; both dicts are taken as complete and consistent. `routing_required`: who
        writes or gets a document must name a routing."""
        self.routing_required = routing_required
        self.fields = dict(fields)
        self.objects = dict(objects)
        by_source: dict[str, list[Field]] = {}
        for field in self.fields.values():
            by_source.setdefault(field.source, []).append(field)
        self._by_source = {
            source: tuple(sorted(found, key=lambda field: field.is_multi_field))
            for source, found in by_source.items()
        }

    @classmethod
    def parse(cls, body: Dict[str, Json] | None, *, analyzers: Collection[str]) -> Mapping:
        """The mapping that `{"dynamic": ..., "properties": {...}}` describes.

        `analyzers` are the names that text fields may use. Raises MappingError, or LimitExceeded for more
        fields than TOTAL_FIELDS_LIMIT.
        """
        return cls({}, {"": ObjectField("")}).merged(body, analyzers=analyzers)

    def merged(self, body: Dict[str, Json] | None, *, analyzers: Collection[str]) -> Mapping:
        """This mapping with the fields of `body` added.

        A field that is there may get multi-fields, and new values of `ignore_above`, `search_analyzer` and
        `norms: false`; any other difference is a MappingError naming the field, the old value and the new.
        """
        builder = _Builder(dict(self.fields), dict(self.objects), analyzers)
        builder.add_root({} if body is None else body)
        return Mapping(builder.fields, builder.objects, self._routing(body or {}))

    def _routing(self, body: Dict[str, Json]) -> bool:
        """Whether a routing is required, by this mapping and the `_routing` of `body`."""
        spec = _expect_object(body.get("_routing", {}), "mapping: [_routing]")
        for key, value in spec.items():
            if key != "required":
                raise MappingError(f"mapping: unknown parameter [{key}] of [_routing]; [required] is known")
            if value not in (True, False, "true", "false"):
                raise MappingError(
                    f"mapping: [_routing]: [required] is {spell(value)}; true or false expected"
                )
        required = spec.get("required", self.routing_required) in (True, "true")
        if self.routing_required and not required:
            raise MappingError("mapping: [_routing]: [required] cannot change from [true] to [false]")
        return required

    def to_dict(self) -> dict[str, Json]:
        """The mapping in OpenSearch's shape, defaults left out; `parse` of it gives an equal mapping."""
        nodes: dict[str, dict[str, Json]] = {}
        for path, inner in sorted(self.objects.items(), key=lambda item: item[0].count(".") + bool(item[0])):
            node: dict[str, Json] = {} if inner.dynamic is None else {"dynamic": inner.dynamic}
            nodes[path] = node
            if path:
                self._properties(nodes, path)[_leaf(path)] = node
                node.setdefault("properties", {})
        for source in self._by_source:
            main, *others = self._by_source[source]
            rendered = _render(main)
            if others:
                rendered["fields"] = {_leaf(field.path): _render(field) for field in others}
            self._properties(nodes, source)[_leaf(source)] = rendered
        for path, node in nodes.items():
            if path and not node["properties"]:
                node["type"] = "object"
                del node["properties"]
        return {"_routing": {"required": True}, **nodes[""]} if self.routing_required else nodes[""]

    @staticmethod
    def _properties(nodes: dict[str, dict[str, Json]], path: str) -> dict[str, Json]:
        found: dict[str, Json] = nodes[_parent(path)].setdefault("properties", {})
        return found

    def field(self, path: str) -> Field | None:
        """The field or multi-field of this full path."""
        return self.fields.get(path)

    def at(self, source: str) -> tuple[Field, ...]:
        """The fields that a document's values at this path go into: the main one, then its multi-fields."""
        return self._by_source.get(source, ())

    def object(self, path: str) -> ObjectField | None:
        """The object of this path; "" is the document itself."""
        return self.objects.get(path)

    def dynamic(self, path: str = "") -> Dynamic:
        """What happens to an unknown field inside the object of this path, as it or a parent decides."""
        while True:
            found = self.objects.get(path)
            if found is not None and found.dynamic is not None:
                return found.dynamic
            if not path:
                return "true"
            path = _parent(path)

    def under(self, path: str) -> list[Field]:
        """The fields inside an object, at any depth, multi-fields included."""
        prefix = path + "."
        return [field for name, field in self.fields.items() if name.startswith(prefix)]

    def expand(self, pattern: str) -> list[str]:
        """Paths of the fields that a name or a pattern with `*` means, in mapping order."""
        if "*" not in pattern:
            return [pattern] if pattern in self.fields else []
        translated = fnmatch.translate(re.sub(r"[?\[]", r"[\g<0>]", pattern))
        matches = re.compile(translated).match
        return [path for path in self.fields if matches(path)]

    def __eq__(self, other: builtins.object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        return (
            self.fields == other.fields
            and self.objects == other.objects
            and self.routing_required == other.routing_required
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Mapping({self.to_dict()!r})"


def nearest(name: object, known: Iterable[str]) -> str:
    """The known name that `name` most looks like, as a sentence to end an error with; "" when none does."""
    # Asked for errors alone, so what it needs is not paid for at every import.
    from rapidfuzz import process

    found = process.extractOne(str(name)[:100], list(known), score_cutoff=60)
    return f"; did you mean [{found[0]}]?" if found else ""


# -------------------------------------------------------------------------------------------- parameters


def _flag(value: Json) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in ("true", "false"):
        return value == "true"
    raise ValueError("true or false expected")


def _count(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("a whole number of 0 or more expected")
    return value


def _name(value: Json) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a name expected")
    return value


def _index_options(value: Json) -> str:
    if not isinstance(value, str) or value not in ("docs", "freqs", "positions", "offsets"):
        raise ValueError("docs, freqs, positions or offsets expected")
    # Offsets would serve highlighting only, which finds its fragments by analysing the text again.
    return "positions" if value == "offsets" else value


def _similarity(value: Json) -> str:
    if value not in SIMILARITIES:
        raise ValueError(f"{' or '.join(SIMILARITIES)} expected")
    return str(value)


def _formats(value: Json) -> str:
    check_formats(value)
    return str(value)


def _as_given(value: Json) -> Json:
    return value


@dataclass(frozen=True, slots=True)
class _Parameter:
    """One mapping parameter: the Field attribute it sets, how it is read, and whether it may change later."""

    attribute: str
    read: Callable[[Json], Any]
    updatable: bool = False


_COMMON = {"index": _Parameter("index", _flag)}
_WITH_COLUMN = {
    **_COMMON,
    "doc_values": _Parameter("doc_values", _flag),
    "null_value": _Parameter("null_value", _as_given),
}
_PARAMETERS: dict[str, dict[str, _Parameter]] = {
    **dict.fromkeys(FIELD_TYPES, _WITH_COLUMN),
    "text": {
        **_COMMON,
        "analyzer": _Parameter("analyzer", _name),
        "search_analyzer": _Parameter("search_analyzer", _name, updatable=True),
        "index_options": _Parameter("index_options", _index_options),
        "norms": _Parameter("norms", _flag, updatable=True),
        "similarity": _Parameter("similarity", _similarity),
    },
    "keyword": {
        **_WITH_COLUMN,
        "ignore_above": _Parameter("ignore_above", _count, updatable=True),
        "similarity": _Parameter("similarity", _similarity),
    },
    "date": {**_WITH_COLUMN, "format": _Parameter("formats", _formats)},
}
"""Type -> parameters beside `type` and `fields`. A parameter of a later release is one line here."""


def _defaults(kind: type[Field]) -> dict[str, Any]:
    return {item.name: item.default for item in dataclass_fields(kind) if item.default is not MISSING}


def _render(field: Field) -> dict[str, Json]:
    """The body of one field without its multi-fields; parameters at their default are left out."""
    body: dict[str, Json] = {"type": field.type}
    defaults = _defaults(type(field))
    for name, parameter in _PARAMETERS[field.type].items():
        value = getattr(field, parameter.attribute)
        if value != defaults[parameter.attribute]:
            body[name] = value
    return body


# --------------------------------------------------------------------------------------------- building


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _leaf(path: str) -> str:
    return path.rpartition(".")[2]


def _expect_object(body: Json, where: str) -> Dict[str, Json]:
    if not isinstance(body, dict):
        raise MappingError(f"{where}: an object expected, not {spell(body)}")
    return body


_ROOT_KEYS = ("_routing", "dynamic", "properties")


class _Builder:
    """Reads mapping bodies into the two dicts of a Mapping, checking each step against what is there."""

    def __init__(
        self, fields: dict[str, Field], objects: dict[str, ObjectField], analyzers: Collection[str]
    ) -> None:
        self.fields = fields
        self.objects = objects
        self.analyzers = analyzers

    def add_root(self, body: Json) -> None:
        body = _expect_object(body, "mapping")
        for key in body:
            if key not in _ROOT_KEYS:
                raise MappingError(f"mapping: unknown parameter [{key}]{nearest(key, _ROOT_KEYS)}")
        if "dynamic" in body:
            self.objects[""] = ObjectField("", self._dynamic(body["dynamic"], "mapping"))
        self._add_properties("", body.get("properties", {}))

    def _add_properties(self, parent: str, body: Json) -> None:
        where = f"mapping of [{parent}]: [properties]" if parent else "mapping: [properties]"
        for name, inner in _expect_object(body, where).items():
            path = f"{parent}.{name}" if parent else name
            self._check_name(path, name)
            self._add(path, _expect_object(inner, f"mapping of [{path}]"))

    def _check_name(self, path: str, name: Json) -> None:
        if not isinstance(name, str) or not all(part.strip() for part in name.split(".")):
            raise MappingError(f"mapping: a field name without empty parts expected, not {spell(name)}")
        try:
            size_bytes = len(path.encode())
        except UnicodeEncodeError:
            raise MappingError(f"mapping: field name {spell(path)} holds a lone surrogate") from None
        if size_bytes > NAME_BYTES_LIMIT:
            raise MappingError(
                f"mapping: field name {spell(path)} has {size_bytes} bytes; the limit is {NAME_BYTES_LIMIT}"
            )
        if path.count(".") >= DEPTH_LIMIT:
            raise MappingError(f"mapping: field [{path}] lies deeper than the limit of {DEPTH_LIMIT} names")
        if "*" in path or "\0" in path:
            raise MappingError(f"mapping: field name {spell(path)} holds a character that names may not have")

    def _add(self, path: str, body: Dict[str, Json]) -> None:
        kind = body.get("type")
        if kind is None and (path in self.objects or body.keys() <= {"dynamic", "properties"}):
            kind = "object"
        if kind == "object":
            self._add_object(path, body)
        elif isinstance(kind, str) and kind in FIELD_TYPES:
            self._enter(_parent(path))
            self._put(self._field(path, path, kind, body))
            multi = _expect_object(body.get("fields", {}), f"mapping of [{path}]: [fields]")
            for name, inner in multi.items():
                self._add_multi_field(path, name, inner)
        elif kind is None:
            raise MappingError(f"mapping of [{path}]: no [type] given")
        else:
            known = (*FIELD_TYPES, "object")
            raise MappingError(
                f"mapping of [{path}]: unknown type {spell(kind)}{nearest(kind, known)}"
                f" (there are {', '.join(known)})"
            )

    def _add_object(self, path: str, body: Dict[str, Json]) -> None:
        known = ("type", "dynamic", "properties")
        for key in body:
            if key not in known:
                raise MappingError(
                    f"mapping of [{path}]: unknown parameter [{key}] of [object]{nearest(key, known)}"
                )
        self._enter(path)
        if "dynamic" in body:
            dynamic = self._dynamic(body["dynamic"], f"mapping of [{path}]")
            self.objects[path] = ObjectField(path, dynamic)
        self._add_properties(path, body.get("properties", {}))

    def _add_multi_field(self, source: str, name: Json, body: Json) -> None:
        path = f"{source}.{name}"
        self._check_name(path, name)
        if "." in name:
            raise MappingError(f"mapping of [{source}]: multi-field name [{name}] may not hold a dot")
        inner = _expect_object(body, f"mapping of [{path}]")
        kind = inner.get("type")
        if not isinstance(kind, str) or kind not in FIELD_TYPES or "fields" in inner:
            raise MappingError(
                f"mapping of [{path}]: a multi-field has a [type] with values and no [fields] of its own"
            )
        self._put(self._field(path, source, kind, inner))

    def _enter(self, path: str) -> None:
        """Make sure that `path` and everything above it are objects."""
        if path in self.objects:
            return
        if path in self.fields:
            raise MappingError(
                f"mapping of [{path}]: is [{self.fields[path].type}] and cannot become [object] too"
            )
        self._enter(_parent(path))
        self.objects[path] = ObjectField(path)
        self._check_total()

    def _field(self, path: str, source: str, kind: str, body: Dict[str, Json]) -> Field:
        parameters = _PARAMETERS[kind]
        values: dict[str, Any] = {}
        for key, value in body.items():
            if key in ("type", "fields"):
                continue
            if key not in parameters:
                known = (*parameters, "type", "fields")
                raise MappingError(
                    f"mapping of [{path}]: unknown parameter [{key}] of [{kind}]{nearest(key, known)}"
                )
            try:
                values[parameters[key].attribute] = parameters[key].read(value)
            except ValueError as error:
                raise MappingError(f"mapping of [{path}]: [{key}] is {spell(value)}; {error}") from None
        field = FIELD_TYPES[kind](path=path, source=source, type=kind, **values)
        self._check_field(field)
        return field

    def _check_field(self, field: Field) -> None:
        if field.null_value is not None:
            try:
                field.convert(field.null_value)
            except ValueError as error:
                raise MappingError(f"mapping of [{field.path}]: [null_value]: {error}") from None
        if not isinstance(field, TextField):
            return
        for parameter in ("analyzer", "search_analyzer"):
            name = getattr(field, parameter)
            if name is not None and name not in self.analyzers:
                raise MappingError(
                    f"mapping of [{field.path}]: unknown {parameter} [{name}]{nearest(name, self.analyzers)}"
                )

    def _put(self, field: Field) -> None:
        if field.path in self.objects:
            raise MappingError(f"mapping of [{field.path}]: is [object] and cannot become [{field.type}] too")
        old = self.fields.get(field.path)
        if old is not None:
            _check_change(old, field)
        self.fields[field.path] = field
        self._check_total()

    def _check_total(self) -> None:
        total = len(self.fields) + len(self.objects) - 1
        if total > TOTAL_FIELDS_LIMIT:
            raise LimitExceeded(f"mapping: more than {TOTAL_FIELDS_LIMIT} fields, the limit of one index")

    def _dynamic(self, value: Json, where: str) -> Dynamic:
        if value is True or value == "true":
            return "true"
        if value is False or value == "false":
            return "false"
        if value == "strict":
            return "strict"
        raise MappingError(f"{where}: [dynamic] is {spell(value)}; true, false or strict expected")


def _check_change(old: Field, new: Field) -> None:
    """Refuse what documents already indexed could not follow."""
    if old.type != new.type:
        raise MappingError(f"mapping of [{old.path}]: [type] cannot change from [{old.type}] to [{new.type}]")
    if old.source != new.source:
        raise MappingError(f"mapping of [{old.path}]: feeds from [{old.source}], not from [{new.source}]")
    for name, parameter in _PARAMETERS[old.type].items():
        before, after = getattr(old, parameter.attribute), getattr(new, parameter.attribute)
        allowed = parameter.updatable and not (name == "norms" and after)
        if before != after and not allowed:
            raise MappingError(
                f"mapping of [{old.path}]: [{name}] cannot change from {spell(before)} to {spell(after)}"
            )
