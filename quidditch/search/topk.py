"""The best k of an array of scores, ties by position."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quidditch.types import Ints

BLOCK = 64
"""Maxima of blocks this long stand for the array when a threshold is sought (measured: 32 to 128 are
alike)."""

FEW = 256
"""Up to so many scores are simply sorted."""

SMALL = 4096


def best(scores: NDArray[Any], count: int) -> Ints:
    """intp[<= count]: the places of the highest scores, highest first, equal ones by place.

    cost: two passes over the array, then work on what lies above the threshold; never a partition of it all.
    """
    size = len(scores)
    if count <= 0 or not size:
        return np.empty(0, np.intp)
    if scores.strides == (0,):
        return np.arange(min(count, size))
    if size <= FEW:
        return np.argsort(-scores, kind="stable")[:count]
    if size <= count:
        chosen: Ints = np.arange(size)
    elif size <= SMALL:
        # All that tie with the last one are sorted along: fewer calls than telling them apart.
        chosen = np.flatnonzero(scores >= _low_threshold(scores, count))
    else:
        chosen = top_places(scores, count)
    order = np.argsort(-scores[chosen], kind="stable")
    return chosen.take(order)[:count]


def top_places(scores: NDArray[Any], count: int) -> Ints:
    """intp[count]: the places of the highest scores in ascending order; of equal ones the first."""
    above, ties = split_at_threshold(scores, count)
    return np.sort(np.concatenate((above, ties[: count - len(above)])))


def split_at_threshold(scores: NDArray[Any], count: int) -> tuple[Ints, Ints]:
    """The places above the count-th highest score (fewer than `count`), and those that equal it.

    There are more than `count` scores, and `count` is at least 1. Both arrays are ascending.
    """
    threshold = _low_threshold(scores, count)
    above = np.flatnonzero(scores > threshold)
    if len(above) < count:
        # Fewer than `count` lie above a bound that `count` reach: it is the threshold itself.
        return above, np.flatnonzero(scores == threshold)
    values = scores[above]
    threshold = np.partition(values, len(values) - count)[len(values) - count]
    return above[values > threshold], above[values == threshold]


def _low_threshold(scores: NDArray[Any], count: int) -> Any:
    """A value that at least `count` scores reach: the count-th highest of block maxima, or of all scores."""
    if len(scores) <= SMALL or len(scores) < 2 * count * BLOCK:
        return np.partition(scores, len(scores) - count)[len(scores) - count]
    maxima = np.maximum.reduceat(scores, np.arange(0, len(scores), BLOCK))
    return np.partition(maxima, len(maxima) - count)[len(maxima) - count]
