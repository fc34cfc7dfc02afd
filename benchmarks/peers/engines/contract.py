"""What an engine must be able to say and do to be measured."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from benchmarks.corpora import Doc
from benchmarks.questions import Kind

Need: TypeAlias = Literal["and", "phrase", "filter", "totals", "add", "threads"]


class Engine(Protocol):
    """One way to index and to search; `module` is what a user's code imports for it."""

    name: str
    module: str
    anchor: bool
    """Compared in full; the others are there for the table, and get less time."""
    caches: bool
    """Whether an open index remembers anything of past queries, so that a cold one must be opened anew."""

    @property
    def lacks(self) -> Mapping[Need, str]:
        """What it cannot do, with the reason that the report shows."""

    def absence(self, documents: int) -> str | None:
        """Why it cannot be measured here, with so many documents; None when it can."""

    def version(self) -> str: ...

    def build(self, docs: Iterable[Doc], folder: Path, threads: int) -> None:
        """Index the documents: `title` and `text` with positions where it can, `group` as a filter, all kept."""

    def open(self, folder: Path) -> Searcher: ...

    def open_writer(self, folder: Path) -> Writer: ...


class Searcher(Protocol):
    """An open index."""

    def prepare(self, kind: Kind, words: Sequence[str], group: str | None) -> Any:
        """What a user's code would hold of a query over `text`, limited to a group; not timed."""

    def search(self, prepared: Any, size: int, totals: bool) -> list[str]:
        """The ids of the best hits; with `totals` the number of all hits has been determined too."""

    def close(self) -> None: ...


class Writer(Searcher, Protocol):
    """An open index that can be added to."""

    def add(self, doc: Doc) -> None:
        """The document is kept as safely as the engine does by default, and the next search sees it."""


def not_installed(module: str, package: str) -> str | None:
    """A sentence when the module cannot be imported."""
    return None if importlib.util.find_spec(module) else f"not installed: pip install {package}"


def version_of(package: str) -> str:
    return importlib.metadata.version(package)


def static(name: str) -> Writer:
    raise NotImplementedError(f"{name} cannot be added to")
