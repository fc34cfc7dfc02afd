"""Routings: what a write said of the shard that its document belongs to, remembered for the documents that have one.

A shard needs none to find a document. It is kept because people ask for it, and send it again with the next write.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from quidditch.errors import RequestError
from quidditch.index.codecs import Buffer, decodes
from quidditch.index.storage import Table, Transaction
from quidditch.types import SeqNo

PREFIX = b"routing/"
"""What the keys of these rows in table `meta` begin with; the key of the id follows."""

MAX_ROUTING_BYTES = 32_766
"""As long as OpenSearch lets a term be."""


def check_routing(routing: object) -> str | None:
    """The routing that a write names; an empty one says nothing, and a whole number counts as its digits.

    raises: RequestError   for anything but UTF-8 of up to 32,766 bytes
    """
    if isinstance(routing, int) and not isinstance(routing, bool):
        routing = str(routing)
    if routing is None or routing == "":
        return None
    if not isinstance(routing, str):
        raise RequestError(f"routing: a string expected, not {str(routing)[:80]!r}")
    try:
        size_bytes = len(routing.encode())
    except UnicodeEncodeError as error:
        raise RequestError(f"routing {routing[:80]!r}: holds a lone surrogate at {error.start}") from None
    if size_bytes > MAX_ROUTING_BYTES:
        raise RequestError(
            f"routing [{routing[:40]}]: {size_bytes} bytes long; at most {MAX_ROUTING_BYTES} expected"
        )
    return routing


def check_routings(routings: Sequence[object], count: int) -> list[str | None]:
    """One for each of so many documents; none at all say nothing.

    raises: RequestError
    """
    if isinstance(routings, str) or len(routings) not in (0, count):
        raise RequestError(f"routings: one for each of {count} ids expected, not {str(routings)[:80]!r}")
    return [check_routing(each) for each in routings] if routings else [None] * count


def pack_routing(seq_no: SeqNo, routing: str) -> bytes:
    """The routing of the document that a write left.

    >>> pack_routing(5, "kim").hex()
    '05000000000000006b696d'
    """
    return struct.pack("<Q", seq_no) + routing.encode()


@decodes("routing")
def unpack_routing(value: Buffer) -> tuple[SeqNo, str]:
    (seq_no,) = struct.unpack_from("<Q", value)
    return seq_no, bytes(value[8:]).decode()


def any_routings(transaction: Transaction) -> bool:
    """Has any document of the shard a routing? Some microseconds: it spares whoever asks for many the looking."""
    return transaction.begins(Table.META, PREFIX)


def read_routing(transaction: Transaction, key: bytes, seq_no: SeqNo) -> str | None:
    """The routing of the document that this write left under the key of its id; None where it had none."""
    value = transaction.get(Table.META, PREFIX + key)
    if value is None:
        return None
    written, routing = unpack_routing(value)
    # Releases that do not know of routings leave the row of a document that they replace.
    return routing if written == seq_no else None


def write_routings(
    transaction: Transaction, written: Iterable[tuple[bytes, SeqNo, str | None]], known: bool
) -> None:
    """Remember the routings of ids just written, by their keys, and forget those that are no more.

    known:  whether the shard had any before
    """
    for key, seq_no, routing in written:
        if routing is not None:
            transaction.put(Table.META, PREFIX + key, pack_routing(seq_no, routing))
        elif known:
            transaction.delete(Table.META, PREFIX + key)
