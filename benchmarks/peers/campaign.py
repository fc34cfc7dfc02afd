"""One run, part by part: each method measures something of every engine and puts it into `run`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.corpora import SEED, Doc, read_jsonl
from benchmarks.machine import machine_facts
from benchmarks.peers import measure
from benchmarks.peers.engines import ENGINES
from benchmarks.peers.latency import Budget, lacking, measure_queries
from benchmarks.peers.run import Asked, Run
from benchmarks.questions import QueryClass, query_classes, variants

QUERY_SOURCE_DOCUMENTS = 50_000
WARM_UP_QUERIES = 5
OPENINGS = 3
LOADS = 2


class Campaign:
    """The engines that are here, a file of documents, and what has been found out so far.

    `index` or `reuse` comes first, then `draw`; then the rest, of which `add` changes the indices.
    """

    def __init__(self, names: Sequence[str], docs_file: Path, facts: Mapping[str, Any]) -> None:
        self.docs_file = docs_file
        self.folder = docs_file.parent
        self.documents: int = facts["documents"]
        self.reasons = measure.Reasons()
        for name in names:
            if reason := ENGINES[name].absence(self.documents):
                self.reasons.note(name, reason)
        self.present = [name for name in names if name not in self.reasons]
        versions = {name: ENGINES[name].version() if name in self.present else None for name in names}
        self.run = Run(facts, machine_facts(), versions, reasons=self.reasons)

    def index(self, rounds: int, timeout_s: float) -> None:
        found = measure.measure_indexing(
            self.present, 1, self.docs_file, self.documents, self.folder, rounds, timeout_s, self.reasons
        )
        self.run = replace(self.run, indexing=found)
        self._keep(found)

    def reuse(self) -> None:
        """Take the indices that an earlier run left in the folder."""
        kept = [name for name in self.present if (self.folder / name).exists()]
        for name in self.present:
            if name not in kept:
                self.reasons.note(name, "the earlier run left no index of it")
        self._keep(kept)

    def _keep(self, names: Iterable[str]) -> None:
        """Go on with these engines; the others count as absent."""
        self.present = list(names)
        versions = {
            name: version if name in self.present else None for name, version in self.run.versions.items()
        }
        self.run = replace(self.run, versions=versions)

    def index_with_two(self, rounds: int, timeout_s: float) -> None:
        able = self._able("threads")
        found = measure.measure_indexing(
            able, 2, self.docs_file, self.documents, self.folder, rounds, timeout_s, self.reasons
        )
        self.run = replace(self.run, two_threads=found)

    def draw(self, count: int, choose: Callable[[list[QueryClass]], list[QueryClass]]) -> None:
        """Draw queries from the documents; `choose` picks those of all classes that `ask` measures."""
        sample = list(itertools.islice(read_jsonl(self.docs_file), QUERY_SOURCE_DOCUMENTS))
        plain = query_classes(sample, count)
        self.asked = choose([*plain, *variants(plain)])
        self.warm_ups = warming(sample, self.asked)
        self.mixed = measure.write_queries(plain, self.folder / "queries.json")

    def open(self, budget_s: float) -> None:
        found = dict(self.run.indexing) or {name: measure.Indexing() for name in self.present}
        measure.measure_opening(found, self.mixed, self.folder, OPENINGS, budget_s, self.reasons)
        self.run = replace(self.run, indexing=found)

    def ask(self, rounds: int, budget: Budget) -> None:
        for name in self.present:
            for each in self.asked:
                if reason := lacking(name, each):
                    self.reasons.note(name, reason)
        found = measure_queries(
            self.present, self.asked, self.warm_ups, self.folder, rounds, budget, self.reasons
        )
        shapes = {each.name: Asked(each.family, each.plain) for each in self.asked}
        self.run = replace(self.run, queries=found, asked=shapes)

    def load(self, seconds: float) -> None:
        anchors = [name for name in self.present if ENGINES[name].anchor]
        found = measure.measure_processes(anchors, self.mixed, self.folder, LOADS, seconds, self.reasons)
        self.run = replace(self.run, processes=found)

    def add(self, count: int) -> None:
        found = measure.measure_adding(self._able("add"), self.mixed, self.folder, count, self.reasons)
        self.run = replace(self.run, adding=found)

    def _able(self, need: Literal["threads", "add"]) -> list[str]:
        """The engines that do not lack it; the reasons of the others are noted."""
        for name in self.present:
            if need in ENGINES[name].lacks:
                self.reasons.note(name, ENGINES[name].lacks[need])
        return [name for name in self.present if need not in ENGINES[name].lacks]


def warming(sample: Sequence[Doc], asked: Sequence[QueryClass]) -> dict[str, QueryClass]:
    """For each class a few queries of the same shape from another draw."""
    drawn = query_classes(sample, WARM_UP_QUERIES, seed=SEED + 1)
    others = {each.name: each for each in [*drawn, *variants(drawn)]}
    return {each.name: others[each.name] for each in asked}
