"""Postings without a segment around them."""

from __future__ import annotations

from dataclasses import dataclass

from pyroaring import BitMap

from quidditch.index.codecs import bitmap_of
from quidditch.types import Ints, U32s


@dataclass
class PlainPostings:
    """Documents that hold a term once each, as far as it says itself."""

    ids: U32s

    @property
    def doc_freq(self) -> int:
        return len(self.ids)

    def docs(self) -> U32s:
        return self.ids

    def bitmap(self) -> BitMap:
        return bitmap_of(self.ids)

    def freqs(self) -> U32s | None:
        return None

    def positions(self) -> tuple[U32s, U32s] | None:
        return None

    def positions_at(self, places: Ints) -> tuple[U32s, U32s] | None:
        return None
