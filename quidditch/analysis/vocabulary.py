"""Batches of values -> terms: distinct surface forms go through the filters, tokens only through arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from quidditch.analysis import tokenizers
from quidditch.analysis.surfaces import PADDING, SurfaceTable
from quidditch.analysis.tokenizers import Tokenizer
from quidditch.types import Bools, I64s, U8s, U32s, U64s

CHUNK_CHARS = 1 << 19
"""Characters handled at once: the arrays over them should stay in the processor's cache."""

_DROPPED = np.uint32(0xFFFFFFFF)
_ROW_BYTES = 150
_NO_OVERLAPS: Bools = np.zeros(0, np.bool_)


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """The tokens of a batch of values, ordered by value and position.

    Attributes:
        value: uint32[n], index of the value each token came from; never decreases.
        term: uint32[n], term id in the vocabulary.
        position: uint32[n], place inside the value from 0; holes where a filter removed a token.
        lengths: uint32[values], tokens that count for the field length: not those at the position of another.
        ends: uint32[values], last position + 1, removed tokens included.
    """

    value: U32s
    term: U32s
    position: U32s
    lengths: U32s
    ends: U32s


@dataclass(frozen=True, slots=True)
class Found:
    """The tokens of a batch of values as they were looked up: surface ids, `counts` of them to a value.

    `overlaps` says which stand at the position of another, None if none does. `term_of` has the term of each surface
    that was known when they were found; without it, `ids` are terms.
    """

    ids: U32s
    overlaps: Bools | None
    counts: I64s
    term_of: U32s | None


class Vocabulary:
    """The distinct surface forms and terms one analyzer has seen; term ids are dense from 0 and stable.

    It only grows: whoever holds it drops it when `size_bytes` is too much. Not for several threads at once.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        normalize: Callable[[str], str | None],
        *,
        folds_ascii: bool = False,
        only_folds: bool = False,
        keys: U64s | None = None,
    ) -> None:
        """An empty vocabulary.

        Args:
            tokenizer: where the tokens of a text lie.
            normalize: the filters, as one function of a token; None drops it.
            folds_ascii: `normalize` gives the same for a token whose ASCII letters were lower-cased before.
            only_folds: for ASCII tokens `normalize` does no more than that.
            keys: hash factors, uint64[MAX_LANES]; random by default.
        """
        self.terms: list[bytes] = []
        self._tokenizer = tokenizer
        self._normalize = normalize
        self._folds_ascii = folds_ascii
        self._only_folds = folds_ascii and only_folds
        self._surfaces = SurfaceTable(keys)
        self._term_ids: dict[bytes, int] = {}
        self._term_of: U32s = np.full(256, _DROPPED, np.uint32)
        self._drops = False
        self._whole: dict[str, int] = {}
        self._text_bytes = 0

    @property
    def size_bytes(self) -> int:
        """About how much memory this holds."""
        rows = len(self.terms) + len(self._whole)
        return self._surfaces.size_bytes + self._term_of.nbytes + self._text_bytes + rows * _ROW_BYTES

    def invert(self, values: Sequence[str]) -> TokenBatch:
        """The tokens of `values`, which contain no lone surrogates; memory grows with their size."""
        return self.batch(self.find(values))

    def find(self, values: Sequence[str]) -> Found:
        """The first half of `invert`, in which the vocabulary grows: one thread at a time."""
        if self._tokenizer is tokenizers.whole:
            return self._find_whole(values)
        sizes: I64s = np.fromiter(map(len, values), np.int64, len(values))
        owners: I64s | None = None
        if sizes.size and int(sizes.max()) > CHUNK_CHARS:
            values, owners = _split_long_values(values)
            sizes = np.fromiter(map(len, values), np.int64, len(values))
        parts = [self._look_up(values[a:b], sizes[a:b]) for a, b in _chunks(sizes)]
        if not parts:
            return Found(np.zeros(0, np.uint32), None, np.zeros(len(values), np.int64), self._term_of)
        counts = np.concatenate([part[2] for part in parts])
        if owners is not None:
            counts = np.add.reduceat(counts, np.flatnonzero(np.diff(owners, prepend=-1)))
        ids = np.concatenate([part[0] for part in parts])
        marked = [part[1] for part in parts]
        overlaps = np.concatenate(marked) if any(some.size for some in marked) else None
        if overlaps is not None and overlaps.size < ids.size:
            overlaps = np.concatenate(
                [part[1] if part[1].size else np.zeros(part[0].size, np.bool_) for part in parts]
            )
        return Found(ids, overlaps, counts, self._term_of)

    def batch(self, found: Found) -> TokenBatch:
        """The second half: array code alone, in any thread, whatever the vocabulary has learned since."""
        terms = found.ids if found.term_of is None else found.term_of.take(found.ids)
        return self._batch(terms, found.overlaps, found.counts)

    def _look_up(self, values: Sequence[str], sizes: I64s) -> tuple[U32s, Bools, I64s]:
        """Surface ids of the tokens of `values`, which of them overlap (empty if none), tokens per value."""
        text = "\n".join(values)
        if text.isascii():
            return self._look_up_text(text, sizes)
        plain: Bools = np.fromiter(map(str.isascii, values), np.bool_, len(values))
        if 2 * int(sizes[plain].sum()) < int(sizes.sum()):
            return self._look_up_text(text, sizes)
        first = self._look_up_text("\n".join(compress(values, plain.tolist())), sizes[plain])
        second = self._look_up_text("\n".join(compress(values, (~plain).tolist())), sizes[~plain])
        return _interleave(plain, first, second)

    def _look_up_text(self, text: str, sizes: I64s) -> tuple[U32s, Bools, I64s]:
        """The same for values of `sizes` characters that were joined to one text by line feeds."""
        cut = self._tokenizer(text)
        if text.isascii():
            folded = text.lower() if self._folds_ascii else text
            buffer = (folded + "\n" * PADDING).encode("ascii")
            starts, ends = cut.starts, cut.ends
        else:
            buffer = (text + "\n" * PADDING).encode("utf-8")
            units: U8s = np.frombuffer(buffer, np.uint8)
            offsets = np.flatnonzero((units & np.uint8(0xC0)) != 0x80)
            starts, ends = offsets.take(cut.starts), offsets.take(cut.ends)
            buffer = buffer.lower() if self._folds_ascii else buffer
        ids, new = self._surfaces.look_up(buffer, starts, ends)
        if new:
            self._learn(new)
        bounds = np.concatenate(([0], np.cumsum(sizes + 1)))
        counts = np.diff(np.searchsorted(cut.starts, bounds))
        return ids, _NO_OVERLAPS if cut.overlaps is None else cut.overlaps, counts

    def _learn(self, surfaces: list[bytes]) -> None:
        """Pass new surface forms through the filters and note their terms."""
        first = len(self._surfaces) - len(surfaces) + 1
        self._reserve(first + len(surfaces))
        if self._only_folds:
            # Folded already, ASCII forms are their own terms; a new corpus is mostly new forms at first.
            terms = [
                self._number(surface) if surface.isascii() else self._term(surface.decode("utf-8"))
                for surface in surfaces
            ]
        else:
            terms = [self._term(surface.decode("utf-8")) for surface in surfaces]
        self._term_of[first : first + len(terms)] = terms

    def _term(self, surface: str) -> int:
        """Term id of a token's text, or _DROPPED."""
        term = self._normalize(surface)
        if not term:
            self._drops = True
            return int(_DROPPED)
        return self._number(term.encode("utf-8"))

    def _number(self, encoded: bytes) -> int:
        """Term id of a term, a new one if it was never met."""
        number = self._term_ids.get(encoded)
        if number is None:
            number = self._term_ids[encoded] = len(self.terms)
            self.terms.append(encoded)
            self._text_bytes += len(encoded)
        return number

    def numbers(self, terms: Sequence[bytes]) -> U32s:
        """Term ids of terms that were analysed elsewhere, new ones for those never met."""
        return np.fromiter(map(self._number, terms), np.uint32, len(terms))

    def _reserve(self, rows: int) -> None:
        if rows > self._term_of.size:
            longer = np.full(max(rows, 2 * self._term_of.size), _DROPPED, np.uint32)
            longer[: self._term_of.size] = self._term_of
            self._term_of = longer

    def _find_whole(self, values: Sequence[str]) -> Found:
        """A value is a token, of any length: a dict finds those faster than lanes do."""
        known = self._whole
        for value in values:
            if value not in known:
                known[value] = self._term(value) if value else 0
                self._text_bytes += len(value)
        terms: U32s = np.fromiter(map(known.__getitem__, values), np.uint32, len(values))
        filled: Bools = np.fromiter(map(bool, values), np.bool_, len(values))
        return Found(terms[filled], None, filled.astype(np.int64), None)

    def _batch(self, terms: U32s, overlaps: Bools | None, counts: I64s) -> TokenBatch:
        """Positions and lengths for tokens that come `counts` to a value."""
        stops = np.cumsum(counts)
        value = np.repeat(np.arange(counts.size, dtype=np.uint32), counts)
        if overlaps is None:
            position = np.arange(terms.size, dtype=np.uint32)
            before, ends = (stops - counts).astype(np.uint32), counts.astype(np.uint32)
        else:
            position = np.cumsum(~overlaps, dtype=np.uint32) - np.uint32(1)
            before, ends = _per_value(~overlaps, stops, counts)
        position -= np.repeat(before, counts)
        if not self._drops:
            return TokenBatch(value, terms, position, ends, ends)
        kept = terms != _DROPPED
        _, lengths = _per_value(kept if overlaps is None else kept & ~overlaps, stops, counts)
        return TokenBatch(value[kept], terms[kept], position[kept], lengths, ends)


def _per_value(counted: Bools, stops: I64s, counts: I64s) -> tuple[U32s, U32s]:
    """How many tokens are `counted` before each value and inside it."""
    seen = np.zeros(counted.size + 1, np.uint32)
    np.cumsum(counted, out=seen[1:])
    before = seen.take(stops - counts)
    return before, seen.take(stops) - before


def _chunks(sizes: I64s) -> Iterator[tuple[int, int]]:
    """Ranges of values of about CHUNK_CHARS characters."""
    stops = np.cumsum(sizes + 1)
    start = 0
    while start < sizes.size:
        done = int(stops[start - 1]) if start else 0
        stop = max(int(np.searchsorted(stops, done + CHUNK_CHARS, side="right")), start + 1)
        yield start, stop
        start = stop


def _split_long_values(values: Sequence[str]) -> tuple[list[str], I64s]:
    """The values, those above CHUNK_CHARS in pieces, and the value each piece belongs to.

    A piece ends after a space or line feed: no tokenizer makes a token across those.
    """
    pieces: list[str] = []
    owners: list[int] = []
    for number, value in enumerate(values):
        start = 0
        while len(value) - start > CHUNK_CHARS:
            stop = start + CHUNK_CHARS
            cut = max(value.rfind(" ", start, stop), value.rfind("\n", start, stop)) + 1
            if cut == 0:
                later = (value.find(" ", stop), value.find("\n", stop))
                cut = min((at for at in later if at >= 0), default=-1) + 1
            if cut == 0:
                break
            pieces.append(value[start:cut])
            owners.append(number)
            start = cut
        pieces.append(value[start:])
        owners.append(number)
    return pieces, np.array(owners, np.int64)


def _interleave(
    plain: Bools, first: tuple[U32s, Bools, I64s], second: tuple[U32s, Bools, I64s]
) -> tuple[U32s, Bools, I64s]:
    """The tokens of both roads in the order of the values; `first` has those where `plain` is true."""
    counts = np.zeros(plain.size, np.int64)
    counts[plain], counts[~plain] = first[2], second[2]
    from_first = np.repeat(plain, counts)
    ids = np.empty(from_first.size, np.uint32)
    ids[from_first], ids[~from_first] = first[0], second[0]
    if not second[1].size:
        return ids, _NO_OVERLAPS, counts
    overlaps = np.zeros(from_first.size, np.bool_)
    overlaps[~from_first] = second[1]
    return ids, overlaps, counts
