"""Whatever happens to bytes on the disk: a check finds it, or nobody can see it, and no reading crashes after it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import flips
import pytest

SERVERS = min(2, os.cpu_count() or 1)

Verdict = dict[str, Any]


def verdicts(folder: Path, seed: int, count: int) -> list[Verdict]:
    """What became of the damage of cases 0 to `count`, by programs that never opened LMDB themselves."""
    template = folder / "template"
    flips.make_directory(template)
    running = []
    for number in range(SERVERS):
        with (folder / f"{number}.jsonl").open("wb") as out:
            arguments = (template, folder / f"copy-{number}", seed, number, SERVERS, count)
            command = [sys.executable, flips.__file__, *map(str, arguments)]
            running.append(subprocess.Popen(command, stdout=out))
    assert [process.wait() for process in running] == [0] * SERVERS
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def fault(verdict: Verdict) -> str:
    """What must not have been, in words."""
    checked, plain = verdict["checked"], verdict["plain"]
    if "checked" not in checked:
        return "the check itself died or failed"
    if not checked["checked"]["problems"]:
        if "read" not in checked:
            return "what a check had passed could not be read"
        if checked["read"]["differs"]:
            return "a check passed what reads differently"
        if "written" not in checked or checked["written"]["wrong"]:
            return "what a check had passed could not be written to"
    if (
        verdict["value"]
        and "refused" not in plain
        and (plain.get("read") or {"differs": ["died"]})["differs"]
    ):
        return "a plain read of a damaged value was neither refused nor right"
    return ""


def summary(found: list[Verdict]) -> str:
    """How it went, in numbers; what plain reads without a check may die of, too."""
    plain: Counter[str] = Counter()
    for verdict in found:
        seen = verdict["plain"]
        outcome = "refused" if "refused" in seen else "failed" if "failed" in seen else "read right"
        if seen.get("read", {}).get("differs"):
            outcome = "read wrong"
        plain[seen["died"]["signal"] if "died" in seen else outcome] += 1
    problems = sum(bool(verdict["checked"].get("checked", {}).get("problems")) for verdict in found)
    return f"{len(found)} cases: check found {problems}; plain reads: {dict(plain)}"


def look_at(folder: Path, seed: int, count: int) -> None:
    found = verdicts(folder, seed, count)
    print(summary(found))
    faults = [f"{fault(verdict)}: {json.dumps(verdict)}" for verdict in found if fault(verdict)]
    assert not faults, f"{len(faults)} of {count} cases, seed {seed}:\n" + "\n".join(faults[:3])
    # Did the cases look at what they are there for?
    assert len(found) == count
    assert {verdict["flip"]["kind"] for verdict in found} == {
        "bit",
        "byte",
        "run",
        "zero",
        "swap",
        "truncate",
    }
    harmful = [verdict for verdict in found if verdict["checked"]["checked"]["problems"]]
    assert count // 4 < len(harmful) < count * 9 // 10
    assert sum(bool(verdict["value"]) for verdict in harmful) > count // 8
    assert sum("refused" in verdict["plain"] for verdict in found) > count // 8


def test_flips_are_found_or_without_effect(tmp_path: Path) -> None:
    look_at(tmp_path, seed=1, count=300)


@pytest.mark.long
def test_many_flips_are_found_or_without_effect(tmp_path: Path) -> None:
    look_at(tmp_path, seed=2, count=10_000)
