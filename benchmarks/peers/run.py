"""Everything one run found out, and its JSON in the history."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.latency import Latency, Times
from benchmarks.peers.measure import Adding, Indexing, Throughput

HISTORY = Path(__file__).parents[1] / "history"
OURS = "quidditch"


@dataclass(frozen=True)
class Asked:
    """How a class was asked; `plain` names the class of the same queries without it."""

    family: str = "plain"
    plain: str = ""


@dataclass(frozen=True)
class Run:
    """One run. All but `asked` is by engine, or by class and then by engine.

    versions:  None for an engine that was not measured
    reasons:   why an engine was not measured, or what of it was left out
    """

    corpus: Mapping[str, Any]
    machine: Mapping[str, Any]
    versions: Mapping[str, str | None]
    indexing: Mapping[str, Indexing] = field(default_factory=dict)
    queries: Mapping[str, Mapping[str, Latency]] = field(default_factory=dict)
    asked: Mapping[str, Asked] = field(default_factory=dict)
    reasons: Mapping[str, list[str]] = field(default_factory=dict)
    two_threads: Mapping[str, Indexing] = field(default_factory=dict)
    processes: Mapping[str, Throughput] = field(default_factory=dict)
    adding: Mapping[str, Adding] = field(default_factory=dict)

    def save(self, name: str) -> Path:
        """Writes it under benchmarks/history."""
        HISTORY.mkdir(exist_ok=True)
        file = HISTORY / f"{name}.json"
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")
        return file

    @property
    def engines(self) -> list[str]:
        return [name for name, version in self.versions.items() if version]


def load(file: Path) -> Run:
    """A run of the history. raises: ValueError   the file holds something else"""
    raw = json.loads(file.read_text())
    if not isinstance(raw, dict) or not {"corpus", "machine", "versions", "queries"} <= raw.keys():
        raise ValueError(f"{file} holds no run of benchmarks.peers")
    return from_dict(raw)


def load_growth(file: Path) -> list[Run]:
    """The runs of a file of `benchmarks.peers.growth`, smallest first. raises: ValueError"""
    raw = json.loads(file.read_text())
    if not isinstance(raw, dict) or "growth" not in raw:
        raise ValueError(f"{file} holds nothing of benchmarks.peers.growth")
    return sorted(map(from_dict, raw["growth"]), key=lambda run: int(run.corpus["documents"]))


def from_dict(raw: Mapping[str, Any]) -> Run:
    """What `asdict` made of a run; in the first ones queries were measured warm alone."""
    return Run(
        raw["corpus"],
        raw["machine"],
        raw["versions"],
        _each(raw.get("indexing"), Indexing),
        {
            name: {engine: _latency(own) for engine, own in row.items()}
            for name, row in raw["queries"].items()
        },
        _each(raw.get("asked"), Asked) or {name: Asked() for name in raw["queries"]},
        raw.get("reasons", {}),
        _each(raw.get("two_threads"), Indexing),
        _each(raw.get("processes"), Throughput),
        _each(raw.get("adding"), Adding),
    )


def _each(found: Mapping[str, Any] | None, kind: Any) -> dict[str, Any]:
    return {name: kind(**own) for name, own in (found or {}).items()}


def _latency(own: Mapping[str, Any]) -> Latency:
    if "cold" not in own:
        return Latency(None, Times(**own))
    return Latency(
        Times(**own["cold"]) if own["cold"] else None, Times(**own["warm"]) if own["warm"] else None
    )
