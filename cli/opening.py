"""Parameters that commands share, and opening what they name, with a hand for those who mistyped."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rapidfuzz import process

import quidditch
from quidditch.interface import Database, Index

from .failures import CommandError, NothingFound

AS_JSON = "quidditch.as_json"

_URL_PREFIXES = ("http://", "https://")


def _remember_json(ctx: typer.Context, value: bool) -> bool:
    # Errors are shown above the command, where its parameters are no longer known.
    ctx.meta[AS_JSON] = value
    return value


Location = Annotated[
    str, typer.Argument(metavar="DIR_OR_URL", help="The directory of the indices, or a server's address.")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The index.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON instead of a table.", callback=_remember_json)
]


@contextmanager
def existing(location: str, *, readonly: bool = True) -> Iterator[Database]:
    """The database at a location that is there already.

    raises: NothingFound   when there is no directory, saying what makes one
    """
    if not location.startswith((*_URL_PREFIXES, ":memory:")):
        check_directory(location)
    with quidditch.connect(location, create=False, readonly=readonly) as db:
        yield db


def check_directory(location: str) -> None:
    """Nothing when a directory with something in it is there. raises: NothingFound, saying what makes one"""
    path = Path(location)
    if not path.exists():
        guess = _nearest(path.name, _directories(path.parent))
        hint = f"; did you mean {path.parent / guess}?" if guess else "."
        raise NothingFound(
            f"there is no directory {location}{hint} To make it, index something: "
            f"quidditch index {location} NAME FILE"
        )
    if path.is_dir() and os.access(path, os.R_OK) and not any(path.iterdir()):
        raise NothingFound(
            f"the directory {location} is empty. To make an index: quidditch index {location} NAME FILE"
        )


@contextmanager
def existing_index(location: str, name: str, *, readonly: bool = True) -> Iterator[Index]:
    """One index at a location, both there already.

    raises: NothingFound   when no index has the name, with the nearest that has
    """
    with existing(location, readonly=readonly) as db:
        check_name(db, location, name)
        yield db.index(name)


def check_name(db: Database, location: str, name: str) -> None:
    """Nothing when the index is there. raises: NothingFound, with what is there instead."""
    if name in db:
        return
    names = sorted(db.indices())
    if not names:
        raise NothingFound(
            f"there is no index in {location} yet. To make one: quidditch index {location} {name} FILE"
        )
    guess = _nearest(name, names)
    hint = f"; did you mean {guess!r}?" if guess else ""
    raise NothingFound(f"there is no index {name!r} in {location}{hint} (there: {_listed(names)})")


def _nearest(word: str, known: Iterable[str]) -> str | None:
    found = process.extractOne(word, list(known), score_cutoff=60)
    return str(found[0]) if found else None


def _directories(parent: Path) -> list[str]:
    try:
        return [entry.name for entry in parent.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    except OSError:
        return []


def _listed(names: list[str], most: int = 8) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, … {len(names) - most} more"


def json_or_file(text: str, option: str) -> Any:
    """The value that an option gives: JSON as it stands, or what a file holds.

    raises: CommandError   when it is neither, or the JSON is malformed, with its place
    """
    if text.lstrip()[:1] in ("{", "["):
        return parse_json(text.encode(), option)
    path = Path(text.removeprefix("@"))
    try:
        return parse_json(path.read_bytes(), f"{option} {path}")
    except OSError as error:
        raise CommandError(
            f"{option}: {text} is neither JSON (which starts with a brace) nor a file that can be read "
            f"({error.strerror})"
        ) from error


def json_object(text: str, option: str) -> dict[str, Any]:
    """`json_or_file`, when it is an object. raises: CommandError when it is something else."""
    value = json_or_file(text, option)
    if not isinstance(value, dict):
        raise CommandError(f"{option} must be a JSON object, this is {type(value).__name__}")
    return value


def parse_json(raw: bytes, what: str) -> Any:
    """The value of a JSON text. raises: CommandError naming `what` it was to be."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandError(f"{what}: {error}") from error


def query_of(words: list[str] | None) -> dict[str, Any] | str | None:
    """The query that was typed: a clause when it is a JSON object, else words; None for none."""
    text = " ".join(words or []).strip()
    if text.startswith("{"):
        clause = parse_json(text.encode(), "query")
        return clause if isinstance(clause, dict) else text
    return text or None
