"""What a copy of a shard keeps of the log that it follows, in the transaction that carries out what the log said.

So a copy always knows up to where it is, whenever its process was killed, and carries that along when it is copied.
The rows lie in table `meta`; a directory that follows no log has none of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from quidditch import errors
from quidditch.errors import CorruptIndex, InternalError, QuidditchError
from quidditch.index.codecs import Buffer
from quidditch.index.operations import Applied, Operation
from quidditch.index.storage import Table, Transaction
from quidditch.types import Outcome

Kept = TypeVar("Kept")

LOG_PREFIX = b"log/"
"""Of the keys of these rows in `meta`."""

_FOLLOWED = LOG_PREFIX + b"followed"
_RESULTS = LOG_PREFIX + b"results/"

WINDOW = 256
"""Entries of the log whose results are kept, for whoever asks late, and whose batches are known again."""


MARK = 64
"""Sequences from one mark to the next."""

MARKS = 16
"""How far, in marks, two copies may be apart and still be compared."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Operations as a log says them, in order, and the time that counts for them, in milliseconds since 1970.

    Times never fall from batch to batch, so that all copies forget a deleted id's version at the same place.
    """

    operations: Sequence[Operation]
    now_ms: int


class Followed(msgspec.Struct, frozen=True, array_like=True):
    """Up to where a copy has followed its log.

    log:      names the log, so that another one in its place is noticed
    applied:  the last sequence that was carried out
    now_ms:   the latest time of a batch
    mapping:  the version of the mapping that documents are taken by
    checksum: over what became of everything so far, the same in every copy
    marks:    (sequence, checksum) as it was at the last `MARKS` sequences that are a multiple of `MARK`
    """

    log: str = ""
    applied: int = 0
    now_ms: int = 0
    mapping: int = 0
    checksum: int = 0
    marks: tuple[tuple[int, int], ...] = ()

    def after(self, sequence: int, now_ms: int, results: BatchResults) -> Followed:
        """With one more entry carried out."""
        checksum = zlib.crc32(results.summary(), self.checksum)
        marks = (*self.marks, (sequence, checksum))[-MARKS:] if sequence % MARK == 0 else self.marks
        return Followed(self.log, sequence, now_ms, self.mapping, checksum, marks)


class Result(msgspec.Struct, frozen=True, array_like=True):
    """What became of one operation: version, sequence number and outcome; or the class of an error, and its words."""

    version: int = 0
    seq_no: int = 0
    outcome: Outcome | None = None
    error: str = ""
    reason: str = ""

    @classmethod
    def of(cls, result: Applied | QuidditchError) -> Result:
        if isinstance(result, QuidditchError):
            return cls(error=type(result).__name__, reason=str(result))
        return cls(result.version, result.seq_no, result.result)

    def applied(self, id: bytes) -> Applied | QuidditchError:
        """As the operation on this id gave it."""
        if self.outcome is not None:
            return Applied(id, self.version, self.seq_no, self.outcome)
        kind = getattr(errors, self.error, InternalError)
        made = kind(self.reason)
        return made if isinstance(made, QuidditchError) else InternalError(self.reason)


class BatchResults(msgspec.Struct, frozen=True, array_like=True):
    """What became of a batch: its id, and each of its operations.

    singly:          of each operation; nothing where the batch only brought new documents
    first, created:  of a batch that did: the sequence number of the first, those of the others follow; how many
    """

    batch: str
    singly: list[Result]
    first: int = 0
    created: int = 0

    @classmethod
    def of(cls, batch: str, done: Sequence[Applied | QuidditchError]) -> BatchResults:
        first = done[0].seq_no if done and isinstance(done[0], Applied) else 0
        for place, result in enumerate(done):
            if (
                not isinstance(result, Applied)
                or result.version != 1
                or result.seq_no != first + place
                or result.result != "created"
            ):
                return cls(batch, [Result.of(each) for each in done])
        return cls(batch, [], first, len(done))

    def summary(self) -> bytes:
        """What copies compare: all but the words of errors, which a release may choose anew."""
        singly = [(one.version, one.seq_no, one.outcome, one.error) for one in self.singly]
        return msgspec.msgpack.encode((self.batch, singly, self.first, self.created))

    @property
    def results(self) -> list[Result]:
        """Of each operation, in order."""
        if self.singly:
            return self.singly
        return [Result(1, self.first + place, "created") for place in range(self.created)]


def read_followed(transaction: Transaction) -> Followed | None:
    """None of a shard that never followed a log."""
    value = transaction.get(Table.META, _FOLLOWED)
    return None if value is None else _decode(value, Followed)


def write_followed(transaction: Transaction, followed: Followed) -> None:
    transaction.put(Table.META, _FOLLOWED, msgspec.msgpack.encode(followed))


def begin_anew(transaction: Transaction, followed: Followed | None) -> None:
    """Forget the log that was followed, and what is kept of it: another one is followed from here on, or none."""
    for key in [bytes(key) for key, _ in transaction.rows(Table.META, LOG_PREFIX)]:
        transaction.delete(Table.META, key)
    if followed is not None:
        write_followed(transaction, followed)


def read_results(transaction: Transaction, sequence: int) -> BatchResults | None:
    """None of an entry that is not carried out yet, or was so long ago."""
    value = transaction.get(Table.META, _results_key(sequence))
    return None if value is None else _decode(value, BatchResults)


def write_results(transaction: Transaction, sequence: int, results: BatchResults) -> None:
    """Keep the results of an entry, and forget those of the entry that falls out of the window."""
    transaction.put(Table.META, _results_key(sequence), msgspec.msgpack.encode(results))
    transaction.delete(Table.META, _results_key(sequence - WINDOW))


def read_known(transaction: Transaction) -> dict[str, int]:
    """The batches in the window: the sequence of each, by its id."""
    return {
        _decode(value, BatchResults).batch: int.from_bytes(key[-8:], "big")
        for key, value in transaction.rows(Table.META, _RESULTS)
    }


def renumber(transaction: Transaction, by: int) -> None:
    """Keep the results of every entry under a sequence that is larger by so much."""
    rows = [(key, bytes(value)) for key, value in transaction.rows(Table.META, _RESULTS)]
    for key, _ in rows:
        transaction.delete(Table.META, key)
    for key, value in rows:
        transaction.put(Table.META, _results_key(int.from_bytes(key[-8:], "big") + by), value)


def check_log_row(key: bytes, value: Buffer) -> None:
    """raises: CorruptIndex   there is no such row, or its value is unreadable"""
    if key == _FOLLOWED:
        _decode(value, Followed)
    elif key.startswith(_RESULTS) and len(key) == len(_RESULTS) + 8:
        _decode(value, BatchResults)
    else:
        raise CorruptIndex("no row of this name is known")


def _results_key(sequence: int) -> bytes:
    return _RESULTS + max(0, sequence).to_bytes(8, "big")


def _decode(value: Buffer, kind: type[Kept]) -> Kept:
    try:
        return msgspec.msgpack.decode(value, type=kind)
    except msgspec.MsgspecError as error:
        raise CorruptIndex(f"what a copy keeps of its log is unreadable: {error}") from error
