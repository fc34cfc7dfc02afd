"""A file of queries, and asking them: one after the other, by several threads, by several processes.

    python -m quidditch_cli.load DIR NAME FILE SIZE ROUNDS

is one such process. It prints "ready", waits for a line on standard input, asks everything, and prints how many
queries it asked.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quidditch.errors import RequestError
from quidditch.interface import Database, SearchResult

from .failures import CommandError
from .opening import existing, parse_json


@dataclass(frozen=True, slots=True)
class Line:
    """One query of a file: a plain string, a clause of the Query DSL, or a whole request with a `query`."""

    number: int
    query: str | dict[str, Any]

    @property
    def is_body(self) -> bool:
        return isinstance(self.query, dict) and "query" in self.query


def read_queries(path: Path) -> list[Line]:
    """The lines of a file that are not blank; one that starts with a brace is JSON.

    raises: CommandError   no such file, nothing in it, JSON that is broken (with its line)
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"--queries {path}: not UTF-8 at byte {error.start}") from error
    except OSError as error:
        raise CommandError(f"--queries {path}: cannot be read ({error.strerror})") from error
    rows = [(number, row.strip()) for number, row in enumerate(text.split("\n"), 1)]
    lines = [Line(number, _query(row, f"{path}:{number}")) for number, row in rows if row]
    if not lines:
        raise CommandError(f"--queries {path}: the file is empty; one query on each line was expected")
    return lines


def _query(row: str, where: str) -> str | dict[str, Any]:
    if not row.startswith("{"):
        return row
    clause: dict[str, Any] = parse_json(row.encode(), where)
    return clause


def ask(db: Database, name: str, line: Line, size: int) -> SearchResult:
    """The answer to one query; a whole request may say its own size. raises: RequestError"""
    if isinstance(line.query, dict) and line.is_body:
        return db.search(name, {"size": size, **line.query})
    return db.index(name).search(line.query, size=size)


def ask_all(db: Database, name: str, lines: Sequence[Line], size: int, rounds: int, start: int = 0) -> int:
    """How many queries were asked: all of them, `rounds` times, from the line at `start` on."""
    turned = [*lines[start:], *lines[:start]]
    for _ in range(rounds):
        for line in turned:
            ask(db, name, line, size)
    return rounds * len(turned)


def rate_of_threads(
    db: Database, name: str, lines: Sequence[Line], size: int, rounds: int, count: int
) -> float:
    """Queries a second of so many threads together, each of which asks everything, from another line on."""
    failed: list[Exception] = []

    def work(number: int) -> None:
        try:
            ask_all(db, name, lines, size, rounds, start=number * len(lines) // count)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return count * rounds * len(lines) / (time.perf_counter() - started)


def rate_of_processes(location: str, name: str, queries: Path, size: int, rounds: int, count: int) -> float:
    """Queries a second of so many processes together, from the moment when all are ready to the last's end.

    raises: CommandError   one of them failed
    """
    command = [sys.executable, "-m", __name__, location, name, str(queries), str(size), str(rounds)]
    with _children(command, count) as children:
        if any(child.stdout is None or child.stdout.readline() != "ready\n" for child in children):
            raise CommandError("a process of the load did not start; --processes 1 leaves them out")
        started = time.perf_counter()
        answers = [_told(child) for child in children]
        asked = sum(int(child.communicate()[0] or 0) for child in answers)
        seconds = time.perf_counter() - started
    if any(child.returncode for child in children):
        raise CommandError("a process of the load failed; --processes 1 leaves them out")
    return asked / seconds


def _told(child: subprocess.Popen[str]) -> subprocess.Popen[str]:
    if child.stdin is not None:
        child.stdin.write("go\n")
        child.stdin.flush()
    return child


@contextmanager
def _children(command: list[str], count: int) -> Iterator[list[subprocess.Popen[str]]]:
    with ExitStack() as stack:
        yield [stack.enter_context(_child(command)) for _ in range(count)]


@contextmanager
def _child(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that is ended and waited for, whatever comes."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def answerable(db: Database, name: str, lines: Sequence[Line], size: int) -> Iterator[Line]:
    """The lines that the index does not refuse."""
    for line in lines:
        try:
            ask(db, name, line, size)
        except RequestError:
            continue
        yield line


def main(location: str, name: str, queries: str, size: str, rounds: str) -> None:
    lines = read_queries(Path(queries))
    with existing(location) as db:
        good = list(answerable(db, name, lines, int(size)))
        print("ready", flush=True)
        sys.stdin.readline()
        print(ask_all(db, name, good, int(size), int(rounds)))


if __name__ == "__main__":
    main(*sys.argv[1:])
