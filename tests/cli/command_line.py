"""The command line in this process, in an empty working directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from quidditch_cli.main import app
from typer.testing import CliRunner

BOOKS = [
    {"_id": "dune", "title": "Dune", "year": 1965, "plot": "A desert planet and its spice"},
    {"_id": "emma", "title": "Emma", "year": 1815, "plot": "A matchmaker learns her lesson"},
    {"_id": "solaris", "title": "Solaris", "year": 1961, "plot": "A planet that is one ocean"},
]


class Outcome:
    """What a command printed, and its exit code."""

    def __init__(self, result: Any) -> None:
        self.code: int = result.exit_code
        self.out: str = result.stdout
        self.err: str = result.stderr

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs one command line in an empty directory; `code` is the exit code it must have."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUIDDITCH_TRACEBACK", raising=False)

    def call(*words: str, code: int = 0, input: str | bytes | None = None) -> Outcome:
        outcome = Outcome(CliRunner().invoke(app, list(words), input=input))
        assert outcome.code == code, (outcome.code, outcome.out, outcome.err)
        assert "Traceback" not in outcome.out + outcome.err
        return outcome

    return call


@pytest.fixture
def books(run: Run) -> Run:
    """Like `run`, with the index `books` in the directory `shelf`."""
    Path("books.jsonl").write_text("".join(json.dumps(book) + "\n" for book in BOOKS))
    run("index", "shelf", "books", "books.jsonl")
    return run
