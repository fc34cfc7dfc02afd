"""Single writes settled one after another inside one transaction: versions, conflicts, partial updates.

What an operation does depends on what those before it did, so they run in order against the id map and the
changes so far; the rows are written once, at the end.
"""

from __future__ import annotations

import os
import time
from base64 import b32hexencode
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal, TypeAlias

from quidditch.errors import (
    DocumentNotFound,
    InternalError,
    RequestError,
    VersionConflict,
)
from quidditch.index.document import decode_source, encode_source
from quidditch.types import OpName, Outcome, SeqNo

PRIMARY_TERM = 1
"""A directory never fails over, so its primary term is always this."""

MAX_ID_BYTES = 512

MAX_VERSION = (1 << 63) - 1

VersionType: TypeAlias = Literal["external", "external_gte"]
"""How a version that is counted elsewhere must compare with the document's: greater, or also equal."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One write as it was asked for. `doc` is the document, or for an update the part that changes.

    `version` is one that is counted elsewhere; without it, each write counts one on. `source` is the document as
    `encode_source` wrote it, where that has been done. `routing` is kept with the document.
    """

    op: OpName
    id: bytes
    doc: Dict[str, Any] | None = None
    if_seq_no: int | None = None
    if_primary_term: int | None = None
    upsert: Dict[str, Any] | None = None
    doc_as_upsert: bool = False
    detect_noop: bool = True
    version: int | None = None
    version_type: VersionType = "external"
    source: bytes | None = None
    routing: str | None = None

    @property
    def brings_document(self) -> bool:
        """Does it put its document in place, on no other condition than that there be none?"""
        return (
            self.op in ("index", "create") and self.if_seq_no is self.if_primary_term is self.version is None
        )


@dataclass(frozen=True, slots=True)
class Applied:
    """What one write did."""

    id: bytes
    version: int
    seq_no: SeqNo
    result: Outcome


@dataclass(frozen=True, slots=True)
class Published:
    """What putting many documents in place at once did.

    size_bytes:  of their segment
    first:       the sequence number of the first; those of the others follow
    outcomes:    (version, whether there was none of its id before) of each; None where all were new and different
    """

    size_bytes: int
    first: SeqNo
    outcomes: Sequence[tuple[int, bool]] | None

    def of(self, place: int, id_bytes: bytes) -> Applied:
        """What became of the document at a place."""
        version, created = (1, True) if self.outcomes is None else self.outcomes[place]
        return Applied(id_bytes, version, self.first + place, "created" if created else "updated")


@dataclass(frozen=True, slots=True)
class Entry:
    """The last write to an id, and the routing of the document that it left."""

    seq_no: SeqNo
    version: int
    deleted: bool
    routing: str | None = None


Find: TypeAlias = Callable[[bytes], Entry | None]
SourceOf: TypeAlias = Callable[[SeqNo], bytes | None]


class Changes:
    """What operations have done so far that are not written yet, over the state before them.

    entries:  the new entry of every id that was written
    added:    sequence number -> (id, source) of the documents that stay
    buried:   sequence numbers of stored documents that are replaced or deleted
    """

    def __init__(self, next_seq_no: SeqNo, check: Callable[[Dict[str, Any]], bytes]) -> None:
        """`check` parses a merged document and encodes it."""
        self.next_seq_no = next_seq_no
        self.entries: dict[bytes, Entry] = {}
        self.added: dict[SeqNo, tuple[bytes, bytes]] = {}
        self.buried: list[SeqNo] = []
        self.deleted: list[tuple[SeqNo, bytes]] = []
        self._check = check

    def copy(self) -> Changes:
        """The same so far; what is done to the one is not done to the other."""
        copied = Changes(self.next_seq_no, self._check)
        copied.entries, copied.added = dict(self.entries), dict(self.added)
        copied.buried, copied.deleted = list(self.buried), list(self.deleted)
        return copied

    def apply(self, operation: Operation, source: bytes | None, find: Find, source_of: SourceOf) -> Applied:
        """Carry out one operation; `source` is the checked document of an index or create, `find` and `source_of`
        read the state before the changes.

        raises: VersionConflict, DocumentNotFound, DocumentError   nothing was changed by this operation
        """
        before = self.entries.get(operation.id) or find(operation.id)
        missing = before is None or before.deleted
        if operation.op == "update" and missing and operation.upsert is None and not operation.doc_as_upsert:
            raise DocumentNotFound(f"[{operation.id.decode()}]: document missing, and no upsert given")
        _check_condition(operation, before)
        if operation.op == "delete":
            return self._delete(operation, before)
        if operation.op == "update":
            return self._update(operation, before, source_of)
        if source is None:
            raise InternalError(f"operation on {operation.id!r} without a document")
        return self._write(operation.id, source, before, operation.routing, operation.version)

    def _write(
        self,
        id_bytes: bytes,
        source: bytes,
        before: Entry | None,
        routing: str | None,
        version: int | None = None,
    ) -> Applied:
        self._replace(before)
        if version is None:
            version = 1 if before is None else before.version + 1
        entry = Entry(self._take(), version, False, routing)
        self.entries[id_bytes] = entry
        self.added[entry.seq_no] = (id_bytes, source)
        created = before is None or before.deleted
        return Applied(id_bytes, version, entry.seq_no, "created" if created else "updated")

    def _delete(self, operation: Operation, before: Entry | None) -> Applied:
        self._replace(before)
        version = operation.version
        if version is None:
            version = 1 if before is None else before.version + 1
        entry = Entry(self._take(), version, True)
        self.entries[operation.id] = entry
        self.deleted.append((entry.seq_no, operation.id))
        found = before is not None and not before.deleted
        return Applied(operation.id, version, entry.seq_no, "deleted" if found else "not_found")

    def _update(self, operation: Operation, before: Entry | None, source_of: SourceOf) -> Applied:
        part = operation.doc or {}
        if before is None or before.deleted:
            upsert = part if operation.doc_as_upsert else operation.upsert or {}
            return self._write(operation.id, self._check(upsert), before, operation.routing)
        old = self._source(before, source_of)
        merged = merge_objects(decode_source(old), part)
        if operation.detect_noop and encode_source(merged) == encode_source(decode_source(old)):
            return Applied(operation.id, before.version, before.seq_no, "noop")
        # The routing that the document has, not that of the request, which only says where it is.
        return self._write(operation.id, self._check(merged), before, before.routing)

    def _source(self, entry: Entry, source_of: SourceOf) -> bytes:
        if entry.seq_no in self.added:
            return self.added[entry.seq_no][1]
        source = source_of(entry.seq_no)
        if source is None:
            raise InternalError(f"the document of write {entry.seq_no} is listed and cannot be found")
        return source

    def _replace(self, before: Entry | None) -> None:
        if before is None or before.deleted:
            return
        if self.added.pop(before.seq_no, None) is None:
            self.buried.append(before.seq_no)

    def _take(self) -> SeqNo:
        self.next_seq_no += 1
        return self.next_seq_no - 1


def _check_condition(operation: Operation, before: Entry | None) -> None:
    name = operation.id.decode()
    exists = before is not None and not before.deleted
    if operation.op == "create" and exists and before is not None:
        raise VersionConflict(
            f"[{name}]: version conflict, document already exists (current version [{before.version}])"
        )
    if operation.version is not None and before is not None:
        _check_external(name, operation.version, operation.version_type, before.version)
    if operation.if_seq_no is None and operation.if_primary_term is None:
        return
    wanted = f"required seqNo [{operation.if_seq_no}], primary term [{operation.if_primary_term}]"
    if not exists or before is None:
        raise VersionConflict(f"[{name}]: version conflict, {wanted}, but no document was found")
    if operation.if_seq_no != before.seq_no or operation.if_primary_term not in (None, PRIMARY_TERM):
        raise VersionConflict(
            f"[{name}]: version conflict, {wanted}, current document has seqNo [{before.seq_no}] and primary "
            f"term [{PRIMARY_TERM}]"
        )


def _check_external(name: str, version: int, kind: VersionType, current: int) -> None:
    """raises: VersionConflict   the version given is not past the document's, deleted ones included"""
    if version < current or (version == current and kind != "external_gte"):
        bound = "higher than" if kind == "external_gte" else "higher or equal to"
        raise VersionConflict(
            f"[{name}]: version conflict, current version [{current}] is {bound} the one provided [{version}]"
        )


def check_version(version: object, kind: object) -> None:
    """raises: RequestError   for what is no version counted elsewhere"""
    if kind not in ("external", "external_gte"):
        raise RequestError(f'version_type: "external" or "external_gte" expected, not {kind!r}')
    if version is None:
        return
    if isinstance(version, bool) or not isinstance(version, int) or not 0 <= version <= MAX_VERSION:
        raise RequestError(f"version: a whole number from 0 on expected, not {version!r}")


def merge_objects(old: dict[str, Any], part: Dict[str, Any]) -> dict[str, Any]:
    """`old` with the keys of `part`: objects are merged, everything else is replaced, as in OpenSearch."""
    merged = dict(old)
    for key, value in part.items():
        before = merged.get(key)
        if isinstance(before, dict) and isinstance(value, Dict):
            merged[key] = merge_objects(before, value)
        else:
            merged[key] = value
    return merged


# -------------------------------------------------------------------------------------------------------- ids


def check_id(id: object) -> bytes:
    """The id as bytes; whole numbers count as their digits.

    raises: RequestError   for anything but 1 to 512 bytes of UTF-8
    """
    if type(id) is not str and isinstance(id, int) and not isinstance(id, bool):
        id = str(id)
    if not isinstance(id, str):
        raise RequestError(f"_id: a string of 1 to {MAX_ID_BYTES} bytes expected, not {str(id)[:80]!r}")
    try:
        id_bytes = id.encode()
    except UnicodeEncodeError as error:
        raise RequestError(f"_id {id[:80]!r}: holds a lone surrogate at {error.start}") from None
    if not 1 <= len(id_bytes) <= MAX_ID_BYTES:
        raise RequestError(
            f"_id [{id[:40]}]: {len(id_bytes)} bytes long; 1 to {MAX_ID_BYTES} bytes of UTF-8 expected"
        )
    return id_bytes


def without_id(doc: Dict[str, Any]) -> Dict[str, Any]:
    """The document without `_id`, which is its name and no part of its source."""
    if "_id" not in doc:
        return doc
    rest = dict(doc)
    del rest["_id"]
    return rest


class IdMaker:
    """New ids: 24 characters that rise with time, so that the id map grows at its end."""

    def __init__(self) -> None:
        self._seed()

    def _seed(self) -> None:
        self._node = os.urandom(5)
        self._pid = os.getpid()
        self._counter = count(int.from_bytes(os.urandom(2), "big"))

    def new(self) -> bytes:
        if self._pid != os.getpid():
            # A forked child would make its parent's ids again.
            self._seed()
        stamp = int(time.time() * 1000).to_bytes(6, "big")
        serial = (next(self._counter) & 0xFFFFFFFF).to_bytes(4, "big")
        return b32hexencode(stamp + serial + self._node).lower()
