"""The command as a process of its own: exit codes, closed pipes, signals, and output that is no terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "quidditch_cli.main"]


def run(
    *words: str, cwd: Path, stdin: str | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, **(env or {})}
    return subprocess.run(
        [*COMMAND, *words], cwd=cwd, input=stdin, capture_output=True, text=True, env=given, timeout=120
    )


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    lines = "".join(json.dumps({"_id": str(n), "title": f"planet {n}"}) + "\n" for n in range(3000))
    done = run("index", "shelf", "books", "-", cwd=tmp_path, stdin=lines)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return tmp_path


def test_exit_codes_and_streams(shelf: Path) -> None:
    found = run("search", "shelf", "books", "planet 7", cwd=shelf)
    assert (found.returncode, found.stderr) == (0, "")
    missing = run("get", "shelf", "books", "nobody", cwd=shelf)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert run("search", cwd=shelf).returncode in (0, 2)
    assert run("search", "--nope", cwd=shelf).returncode == 2


def test_a_closed_pipe_is_quiet(shelf: Path) -> None:
    line = " ".join([*COMMAND, "search shelf books planet --size 3000"])
    done = subprocess.run(
        ["bash", "-c", f"{line} | head -1; echo ${{PIPESTATUS[0]}}"],
        cwd=shelf,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] in ("0", "141")


def test_an_interrupt_is_quiet_and_keeps_what_went_in(tmp_path: Path) -> None:
    words = ["index", "shelf", "books", "-", "--format", "jsonl", "--chunk", "1000"]
    with subprocess.Popen(
        [*COMMAND, *words],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b'{"title": "planet"}\n' * 60_000)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert b"Traceback" not in err
    if (tmp_path / "shelf").exists():
        assert run("indices", "shelf", cwd=tmp_path).returncode == 0


def test_a_fault_is_one_sentence_and_a_traceback_on_request(tmp_path: Path) -> None:
    code = (
        "import quidditch_cli.admin as a\n"
        "from quidditch_cli import main\n"
        "def boom(*_): raise ZeroDivisionError('oh')\n"
        "a.metadata.version = boom\n"
        "import sys; sys.argv = ['quidditch', 'version']\n"
        "main.run()\n"
    )
    for env, shown in ((dict[str, str](), False), ({"QUIDDITCH_TRACEBACK": "1"}, True)):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={**os.environ, **env},
            cwd=tmp_path,
        )
        assert done.returncode == (1 if shown else 70)
        assert "ZeroDivisionError: oh" in done.stderr
        assert ("Traceback" in done.stderr) is shown


def test_on_a_terminal_hits_are_highlighted_and_errors_red(shelf: Path) -> None:
    text = on_a_terminal("search", "shelf", "books", "planet", cwd=shelf)
    assert "\x1b[1;33mplanet\x1b[0m" in text
    assert "\x1b[31m" in on_a_terminal("search", "shelf", "boks", "planet", cwd=shelf)
    assert "\x1b[" not in on_a_terminal("search", "shelf", "books", "planet", cwd=shelf, TERM="dumb")


def on_a_terminal(*words: str, cwd: Path, **env: str) -> str:
    """Everything a command prints when its output is a terminal."""
    master, slave = pty.openpty()
    given = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120", **env}
    given.pop("NO_COLOR", None)
    process = subprocess.Popen([*COMMAND, *words], cwd=cwd, stdout=slave, stderr=slave, env=given)
    os.close(slave)
    pieces = []
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        pieces.append(piece)
    process.wait(timeout=60)
    os.close(master)
    return b"".join(pieces).decode()


def test_completion_knows_the_commands(tmp_path: Path) -> None:
    env = {"_QUIDDITCH_COMPLETE": "complete_bash", "COMP_WORDS": "quidditch sea", "COMP_CWORD": "1"}
    assert run(cwd=tmp_path, env=env).stdout.split() == ["search"]
