"""What a campaign found, and how much it looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from quidditch.types import Json

Kind: TypeAlias = Literal[
    "lost",
    "torn",
    "foreign",
    "version",
    "conflict",
    "disagreement",
    "scores",
    "check",
    "unopenable",
    "crash",
    "hang",
    "error",
    "journal",
]

MEANINGS: dict[Kind, str] = {
    "lost": "an acknowledged write is not there",
    "torn": "part of what is all or nothing is there, or a later write without an earlier one",
    "foreign": "something is there that nobody wrote",
    "version": "a version or sequence number is not the one that was acknowledged, or used twice",
    "conflict": "two writes met a condition that only one can meet",
    "disagreement": "two ways to read the index tell different things",
    "scores": "scores differ from those of a fresh index of the same documents",
    "check": "the index's own check found something",
    "unopenable": "the directory cannot be opened, or not in time",
    "crash": "a process ended by itself",
    "hang": "a process did not go on",
    "error": "an operation failed that must not",
    "journal": "the journal itself is damaged, or tells what cannot be",
}
"""What can be wrong, by kind."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must not be: its kind, what was seen, and the seed and round to see it again."""

    kind: Kind
    words: str
    seed: int = 0
    round: int = 0
    kept: Path | None = None

    def to_dict(self) -> dict[str, Json]:
        return {**asdict(self), "kept": None if self.kept is None else str(self.kept)}


@dataclass(frozen=True, slots=True)
class TortureReport:
    """What became of a campaign; true when nothing was found.

    kills:         processes ended with SIGKILL
    operations:    calls that writers began
    acknowledged:  calls that returned
    checks:        times the index's own check ran; the rest is compared in every round
    documents:     documents compared with what they must be, over all rounds
    """

    seed: int
    rounds: int = 0
    kills: int = 0
    operations: int = 0
    acknowledged: int = 0
    checks: int = 0
    documents: int = 0
    seconds: float = 0.0
    findings: tuple[Finding, ...] = ()

    def __bool__(self) -> bool:
        return not self.findings

    def to_dict(self) -> dict[str, Json]:
        return {**asdict(self), "findings": [finding.to_dict() for finding in self.findings]}
