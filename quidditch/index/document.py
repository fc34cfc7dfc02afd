"""Documents and a mapping to typed values, a batch at a time; a document that does not fit fails alone."""

from __future__ import annotations

import base64
import contextlib
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from collections.abc import Mapping as Dict
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

import msgspec
import numpy as np

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.errors import CorruptIndex, DocumentError, LimitExceeded, MappingError, QuidditchError
from quidditch.schema.dynamic import infer
from quidditch.schema.fields import Field, spell
from quidditch.schema.mapping import Mapping
from quidditch.types import U32s

METADATA_NAMES = frozenset(
    ("_id", "_index", "_source", "_score", "_type", "_routing", "_version", "_seq_no", "_primary_term")
)
"""What hits carry beside the source: a document's own field of that name would hide it."""

MAX_NESTING = 200
"""Objects and arrays inside each other; beyond it a document is refused rather than a stack exhausted."""


@dataclass(frozen=True, slots=True)
class FieldValues:
    """What one field got from a batch: `values[i]`, as `Field.convert` makes them, from document `docs[i]`.

    docs: uint32[n], not falling. values: list of str or bytes, int64[n] or float64[n].
    """

    field: Field
    docs: U32s
    values: Any


@dataclass(frozen=True, slots=True)
class ParsedBatch:
    """The documents of a batch that fit their mapping, numbered anew from 0, and the errors of the others.

    accepted: positions in the input, ascending; errors: by position in the input;
    mapping: the one given, with the fields that these documents brought.
    """

    accepted: Sequence[int]
    sources: list[bytes]
    values: list[FieldValues]
    mapping: Mapping
    errors: dict[int, DocumentError] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return sum(map(len, self.sources))


class _Slot:
    """Gathers the values at one path of the documents, in document order."""

    __slots__ = ("docs", "fields", "has_nulls", "keeps_nulls", "path", "values")

    def __init__(self, path: str, fields: tuple[Field, ...]) -> None:
        self.path = path
        self.fields = fields
        self.docs: list[int] = []
        self.values: list[Any] = []
        self.keeps_nulls = any(one.null_value is not None for one in fields)
        self.has_nulls = False


class _Unknown:
    """A path that the mapping says nothing about."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path


class _Level(dict[str, Any]):
    """One object of the documents: key -> slot, deeper level or unknown; looked up in the mapping once."""

    def __init__(self, path: str, parser: _Attempt) -> None:
        super().__init__()
        self.path = path
        self._parser = parser

    def __missing__(self, key: object) -> _Slot | _Level | _Unknown:
        if not isinstance(key, str):
            raise DocumentError(f"[{self.path or 'document'}]: a string expected as key, not {spell(key)}")
        node = self._parser.node(self, key)
        self[key] = node
        return node


class _Failed(Exception):
    """A document cannot be indexed; `path` tells which value was wrong, so that its origin can be asked."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


def parse_documents(
    docs: Sequence[Dict[str, Any]],
    mapping: Mapping,
    analyzers: Collection[str],
    sources: Sequence[bytes] | None = None,
    *,
    acknowledged: bool = False,
) -> ParsedBatch:
    """The typed values of a batch. Documents are taken in order: an earlier one decides a new field's type.

    `sources` are the documents as `encode_source` wrote them, where the caller has done so already.
    `acknowledged` documents never fail: a value that does not fit its field, because the field came after it,
    is left out, and the mapping stays as it is.
    cost: about half a microsecond for each value, plus encoding the sources
    """
    errors: dict[int, DocumentError] = {}
    positions: Sequence[int] = range(len(docs))
    while True:
        attempt = _Attempt(mapping, analyzers, acknowledged)
        values = attempt.run([docs[position] for position in positions])
        encoded = [sources[position] for position in positions] if sources is not None else []
        if sources is None and not attempt.errors:
            encoded = attempt.encoded([docs[position] for position in positions])
        if not attempt.errors:
            return ParsedBatch(positions, encoded, values, attempt.mapping, errors)
        errors.update({positions[place]: error for place, error in attempt.errors.items()})
        positions = [position for position in positions if position not in errors]


class Schema(Protocol):
    """Where an index's mapping lives, and how fields are added to it for every process to see."""

    def current(self) -> Mapping: ...

    def check(self) -> None:
        """Raises when what is written here would not be the index's any more."""

    def extend(self, body: dict[str, Any]) -> Mapping: ...


def parse_and_learn(
    docs: Sequence[Dict[str, Any]], schema: Schema, sources: Sequence[bytes] | None = None
) -> ParsedBatch:
    """`parse_documents` by the index's mapping, which learns the fields that the documents bring.

    Another writer may give a new field another type at the same time: the first word counts, and these
    documents are parsed again by it.
    """
    while True:
        mapping = schema.current()
        batch = parse_documents(docs, mapping, ANALYZER_NAMES, sources)
        if batch.mapping is mapping:
            return batch
        with contextlib.suppress(MappingError, LimitExceeded):
            schema.extend(batch.mapping.to_dict())


def parse_as_mapped(
    docs: Sequence[Dict[str, Any]], schema: Schema, sources: Sequence[bytes] | None = None
) -> ParsedBatch:
    """`parse_documents` by the index's mapping as it is: values of fields that it does not know are stored and not
    indexed, which is the same for every copy of a shard."""
    return parse_documents(docs, schema.current(), ANALYZER_NAMES, sources)


class _Attempt:
    """One pass over a batch. A document that fails spoils the pass: it is repeated without that document, so
    that nothing of it, a field that it alone brought included, stays behind."""

    def __init__(self, mapping: Mapping, analyzers: Collection[str], acknowledged: bool = False) -> None:
        self.mapping = mapping
        self.errors: dict[int, DocumentError] = {}
        self._acknowledged = acknowledged
        self._analyzers = analyzers
        self._root = _Level("", self)
        self._slots: list[_Slot] = []
        self._brought_by: dict[str, int] = {}

    def run(self, docs: list[Dict[str, Any]]) -> list[FieldValues]:
        for place, doc in enumerate(docs):
            try:
                if not isinstance(doc, Dict):
                    raise _Failed("", f"an object expected as document, not {spell(doc)}")
                walk = self._walk_leniently if self._acknowledged else self._walk
                walk(self._root, doc, place, 0)
            except (_Failed, QuidditchError) as error:
                self._fail(place, error)
            except RecursionError:
                self._fail(place, _Failed("", f"document: nested deeper than {MAX_NESTING} levels"))
        return [] if self.errors else list(self._converted())

    def _fail(self, place: int, error: Exception) -> None:
        if self._acknowledged:
            return
        path = error.path if isinstance(error, _Failed) else ""
        # A field that a failing document brought says nothing against a later one: that is tried again.
        if place not in self.errors and self._brought_by.get(path, place) not in self.errors:
            self.errors[place] = DocumentError(str(error))

    # -------------------------------------------------------------------------------------------- walking

    def _walk(self, level: _Level, doc: Dict[str, Any], place: int, depth: int) -> None:
        for key, value in doc.items():
            node = level[key]
            kind = type(value)
            if type(node) is _Slot and (kind is str or kind is int or kind is float or kind is bool):
                node.docs.append(place)
                node.values.append(value)
            elif type(node) is _Unknown:
                self._unknown(level, key, node, value, place, depth)
            else:
                self._put(node, value, place, depth)

    def _walk_leniently(self, level: _Level, doc: Dict[str, Any], place: int, depth: int) -> None:
        """Take key by key, leaving out what does not fit."""
        for key, value in doc.items():
            with contextlib.suppress(_Failed, QuidditchError):
                self._walk(level, {key: value}, place, depth)

    def _put(self, node: _Slot | _Level, value: Any, place: int, depth: int) -> None:
        if depth > MAX_NESTING:
            raise _Failed("", f"[{node.path}]: nested deeper than {MAX_NESTING} levels")
        value = as_stored(value)
        if value is None:
            if type(node) is _Slot and node.keeps_nulls:
                node.has_nulls = True
                node.docs.append(place)
                node.values.append(None)
        elif isinstance(value, list | tuple):
            for element in value:
                self._put(node, element, place, depth + 1)
        elif isinstance(node, _Level):
            if not isinstance(value, Dict):
                raise _Failed(node.path, f"[{node.path}]: an object expected, not {spell(value)}")
            self._walk(node, value, place, depth + 1)
        elif isinstance(value, Dict):
            kind = node.fields[0].type
            raise _Failed(node.path, f"[{node.path}]: [{kind}] expected, not {spell(value)}")
        else:
            node.docs.append(place)
            node.values.append(value)

    def _unknown(self, level: _Level, key: str, node: _Unknown, value: Any, place: int, depth: int) -> None:
        if self._acknowledged:
            return
        dynamic = self.mapping.dynamic(node.path.rpartition(".")[0])
        if dynamic == "strict":
            raise _Failed(node.path, f"[{node.path}]: the mapping is strict and has no such field")
        if dynamic == "false":
            check_json(node.path, value)
            return
        try:
            body = infer(as_stored(value))
        except ValueError as error:
            raise _Failed(node.path, f"[{node.path}]: {error}") from None
        if body is None:
            return
        self._add_field(node.path, body, place)
        # A dotted key made objects on its way, which the levels above must learn of too.
        del level[key]
        self._put(level[key], value, place, depth)

    def _add_field(self, path: str, body: dict[str, Any], place: int) -> None:
        nested: dict[str, Any] = body
        for name in reversed(path.split(".")):
            nested = {"properties": {name: nested}}
        self.mapping = self.mapping.merged(nested, analyzers=self._analyzers)
        self._brought_by[path] = place

    def node(self, level: _Level, key: str) -> _Slot | _Level | _Unknown:
        """What the mapping has at `key` of a level; dotted keys go down the levels."""
        head, dot, rest = key.partition(".")
        path = f"{level.path}.{head}" if level.path else head
        if not head.strip() or (dot and not rest):
            raise _Failed(path, f"[{level.path or 'document'}]: field name {spell(key)} has an empty part")
        if dot:
            return self._node_below(level, head, rest, path)
        if key in METADATA_NAMES and not level.path:
            raise _Failed(path, f"[{key}]: names metadata and cannot be a field of a document")
        if self.mapping.object(path) is not None:
            return _Level(path, self)
        fields = self.mapping.at(path)
        if not fields:
            return _Unknown(path)
        slot = _Slot(path, fields)
        self._slots.append(slot)
        return slot

    def _node_below(self, level: _Level, head: str, rest: str, path: str) -> _Slot | _Level | _Unknown:
        """What there is at `rest` under the key `head` of a level. Nothing unknown is remembered on the way: the
        document that asks may be the one that brings it."""
        inner = level[head]
        if isinstance(inner, _Slot):
            kind = inner.fields[0].type
            raise _Failed(path, f"[{path}]: is [{kind}] and holds no field [{rest}]")
        if isinstance(inner, _Unknown):
            del level[head]
            return _Unknown(f"{path}.{rest}")
        found: _Slot | _Level | _Unknown = inner[rest]
        if isinstance(found, _Unknown):
            inner.pop(rest, None)
        return found

    # ----------------------------------------------------------------------------------------- converting

    def _converted(self) -> Iterable[FieldValues]:
        for slot in self._slots:
            docs = np.array(slot.docs, np.uint32)
            for one in slot.fields if slot.docs else ():
                yield from self._convert(one, slot, docs)

    def _convert(self, one: Field, slot: _Slot, docs: U32s) -> Iterable[FieldValues]:
        raw = slot.values
        if slot.has_nulls:
            kept = [i for i, value in enumerate(raw) if value is not None or one.null_value is not None]
            raw = [one.null_value if raw[i] is None else raw[i] for i in kept]
            docs = docs[kept]
        if not raw:
            return
        try:
            values = one.convert_many(raw)
        except (ValueError, OverflowError):
            bad = set(self._blame(one, raw, docs))
            if not self._acknowledged:
                return
            kept = [i for i in range(len(raw)) if i not in bad]
            docs, values = docs[kept], one.convert_many([raw[i] for i in kept]) if kept else []
        if isinstance(values, list) and None in values:
            docs = docs[[value is not None for value in values]]
            values = [value for value in values if value is not None]
        if len(values):
            yield FieldValues(one, docs, values)

    def _blame(self, one: Field, raw: list[Any], docs: U32s) -> Iterator[int]:
        """Which of the values do not convert; their documents fail."""
        for number, (place, value) in enumerate(zip(docs.tolist(), raw, strict=True)):
            try:
                one.convert(value)
            except (ValueError, OverflowError) as error:
                self._fail(place, _Failed(one.source, f"[{one.path}]: {error}"))
                yield number

    def encoded(self, docs: list[Dict[str, Any]]) -> list[bytes]:
        try:
            return list(map(encode_source, docs))
        except DocumentError:
            for place, doc in enumerate(docs):
                try:
                    encode_source(doc)
                except DocumentError as error:
                    self._fail(place, error)
            return []


# ----------------------------------------------------------------------------------------------------- sources


def as_stored(value: Any) -> Any:
    """A value as its source will say it: what is indexed is what a reader of the source would index again."""
    if isinstance(value, str | int | float | list | tuple | Dict) or value is None:
        return value.item() if isinstance(value, np.generic) else value
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value


def _plain(value: Any) -> Any:
    """What JSON has no word for, as JSON: NumPy values as Python's, bytes as base64 (msgspec does the rest)."""
    if isinstance(value, np.datetime64):
        return str(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Dict):
        return dict(value)
    raise TypeError(f"a JSON value expected, not {spell(value)} of type {type(value).__name__}")


_encoder = msgspec.json.Encoder(enc_hook=_plain, decimal_format="number")
_decoder = msgspec.json.Decoder()


def encode_source(doc: Dict[str, Any]) -> bytes:
    """The document as JSON.

    raises: DocumentError   for a value JSON cannot hold, lone surrogates included
    """
    try:
        return _encoder.encode(doc)
    except UnicodeEncodeError as error:
        raise DocumentError(
            f"document: holds a lone surrogate ({error.object[error.start]!r}), which is no Unicode text"
        ) from error
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise DocumentError(f"document: {str(error) or 'nested too deeply'}") from error


def decode_source(data: bytes) -> dict[str, Any]:
    """The document that `encode_source` wrote."""
    try:
        return _decoder.decode(data)  # type: ignore[no-any-return]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise CorruptIndex(f"stored document of {len(data)} bytes is no JSON: {error}") from error


def check_json(path: str, value: Any, depth: int = 0) -> None:
    """Refuse in a part that is not indexed what would be refused in one that is: NaN, infinity, odd keys."""
    if depth > MAX_NESTING:
        raise _Failed(path, f"[{path}]: nested deeper than {MAX_NESTING} levels")
    if isinstance(value, float) and not math.isfinite(value):
        raise _Failed(path, f"[{path}]: a finite number expected, not {value}")
    if isinstance(value, Dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise _Failed(path, f"[{path}]: a string expected as key, not {spell(key)}")
            check_json(f"{path}.{key}", inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            check_json(path, inner, depth + 1)
