"""Operations that ask for nothing but their documents in place: so many become a segment at once."""

from __future__ import annotations

from collections.abc import Sequence

from quidditch.errors import QuidditchError
from quidditch.index.document import ParsedBatch, Schema
from quidditch.index.operations import Applied, Operation, Published
from quidditch.index.single_writes import BUFFER_DOCS, Parse, Results, parse_operations


class NotPlain(Exception):
    """What was there before decides about some documents: nothing is written; each is to be settled for itself."""


def is_load(operations: Sequence[Operation]) -> bool:
    """Whether these are worth a segment, and need no look at what was there before."""
    return len(operations) >= BUFFER_DOCS and all(operation.brings_document for operation in operations)


class Load:
    """The operations with their documents parsed.

    ids, routings:  of the documents that fit the mapping, in order
    new:            one of them must be the first of its id
    """

    def __init__(self, operations: Sequence[Operation], schema: Schema, parse: Parse) -> None:
        self._size = len(operations)
        self.batch: ParsedBatch = parse_operations(operations, schema, parse)
        going = [operations[position] for position in self.batch.accepted]
        self.ids = [operation.id for operation in going]
        self.routings = [operation.routing for operation in going]
        self.new = any(operation.op == "create" for operation in going)

    def results(self, published: Published | None) -> Results:
        """What each operation did; None when no document fitted."""
        found: dict[int, Applied | QuidditchError] = {**self.batch.errors}
        if published is not None:
            for place, position in enumerate(self.batch.accepted):
                found[position] = published.of(place, self.ids[place])
        return [found[position] for position in range(self._size)]
