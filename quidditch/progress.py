"""Bars for work that takes long: drawn on a terminal, silent elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def watched_stream(stream: Iterator[Any], docs: object) -> Iterator[Any]:
    """The stream with a progress bar, on a terminal; as it is elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    total = len(docs) if hasattr(docs, "__len__") else None
    columns = (TextColumn("indexing"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, transient=True, console=Console(stderr=True)) as progress:
        yield from progress.track(stream, total=total)


@contextmanager
def watched(what: str, wanted: bool) -> Iterator[Callable[[int, int], None] | None]:
    """What to tell how much of the work is done, and of how much; None where nobody wants to see."""
    if not wanted:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    # Beside the result, which may go elsewhere.
    with Progress(*columns, transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def watched_bytes(what: str, wanted: bool, total: int) -> Iterator[Callable[[int], None]]:
    """What to tell how many bytes more are done, of `total`."""
    done = 0
    with watched(what, wanted) as watch:

        def add(size_bytes: int) -> None:
            nonlocal done
            done += size_bytes
            if watch is not None:
                watch(min(done, total), total)

        yield add
