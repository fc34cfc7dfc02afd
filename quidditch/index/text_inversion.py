"""The text of one field of one segment to be: batches looked up, sorted, and joined when the segment is written.

Text arrives in batches small enough for the cache. Looking the words up and sorting them are two steps, so that two
threads can share the work: the first is many short calls that need the interpreter, the second few long ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from quidditch.analysis.vocabulary import Found, Vocabulary
from quidditch.index.inversion import Inverted
from quidditch.index.runs import Run, joined, sorted_run
from quidditch.types import U32s


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a batch of values; `docs[i]` is the document of value `i`."""

    docs: U32s
    found: Found


class TextInversion:
    """Collects one text field of one segment to be. Term ids come from a vocabulary that outlives it."""

    def __init__(self, vocabulary: Vocabulary, *, with_positions: bool, with_freqs: bool) -> None:
        self.vocabulary = vocabulary
        self._with_positions = with_positions
        self._with_freqs = with_freqs
        self._runs: list[Run] = []
        self._length_docs: list[U32s] = []
        self._lengths: list[U32s] = []
        self.size_bytes = 0

    def add(self, docs: U32s, values: Sequence[str]) -> None:
        """Take one batch: `docs[i]` is the document of `values[i]`, not falling, above all earlier batches'."""
        self.sort(self.look_up(docs, values))

    def look_up(self, docs: U32s, values: Sequence[str]) -> Tokens:
        """The first half of `add`, which needs the vocabulary."""
        return Tokens(docs, self.vocabulary.find(values))

    def sort(self, tokens: Tokens) -> None:
        """The second half; batches must come in order here too."""
        docs, batch = tokens.docs, self.vocabulary.batch(tokens.found)
        run = sorted_run(batch, docs, with_positions=self._with_positions) if len(batch.term) else None
        self.take(docs, batch.lengths, run)

    def take(self, docs: U32s, lengths: U32s, run: Run | None) -> None:
        """A batch that was sorted elsewhere; None when it holds no token. `lengths[i]` belongs to `docs[i]`."""
        self._length_docs.append(docs)
        self._lengths.append(lengths)
        self.size_bytes += docs.nbytes + lengths.nbytes
        if run is not None:
            self._runs.append(run)
            self.size_bytes += run.size_bytes

    def lengths(self, doc_count: int) -> U32s:
        """uint32[doc_count]: tokens of each document."""
        if not self._lengths:
            return np.zeros(doc_count, np.uint32)
        sums = np.bincount(
            np.concatenate(self._length_docs), np.concatenate(self._lengths), minlength=doc_count
        )
        return sums.astype(np.uint32)

    def present(self) -> U32s:
        """Documents with a value, the empty string included; ascending."""
        return _distinct(np.concatenate(self._length_docs)) if self._length_docs else np.zeros(0, np.uint32)

    def finish(self) -> Iterator[Inverted]:
        """All batches as one, terms in byte order, part by part. Only once: nothing is left here."""
        runs, self._runs = self._runs, []
        return joined(runs, self.vocabulary.terms, with_freqs=self._with_freqs)


def _distinct(ascending: U32s) -> U32s:
    keep = np.ones(len(ascending), np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=keep[1:])
    return ascending[keep]
