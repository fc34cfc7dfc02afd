"""`quidditch check`, `backup`, `restore` and `compact`: what keeps an index whole, and its file small."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import quidditch
from quidditch.index.catalog import check_name as check_index_name
from quidditch.interface import CheckReport
from quidditch.local import LocalDatabase

from . import render
from .failures import STORAGE, CommandError, NothingFound
from .opening import AsJson, check_directory, check_name

Directory = Annotated[str, typer.Argument(metavar="DIR", help="The directory of the indices.")]
OneIndex = Annotated[str | None, typer.Argument(metavar="[NAME]", help="One index; without it, all.")]


def _on_terminal() -> bool:
    return sys.stderr.isatty()


def check(
    directory: Directory,
    name: OneIndex = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Do not analyse the stored documents anew to compare.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Verify every page, checksum and structure of a directory; exit code 4 when something is wrong."""
    check_directory(directory)
    report = quidditch.check(directory, name, deep=not quick, progress=_on_terminal())
    if as_json:
        render.print_json(report.to_dict())
    else:
        _show(directory, report)
    if not report.ok:
        raise typer.Exit(STORAGE)


def _show(directory: str, report: CheckReport) -> None:
    if report.ok:
        render.print_line(f"{directory}: nothing is wrong")
        return
    columns = [("what", "name"), ("where", "text"), ("in words", "text")]
    render.print_table(columns, ([one.what, one.where, one.words] for one in report.problems))


def backup(
    directory: Directory,
    target: Annotated[str, typer.Argument(metavar="TARGET", help="A directory that is not there yet.")],
    index: Annotated[str | None, typer.Option("--index", metavar="NAME", help="This index alone.")] = None,
    as_json: AsJson = False,
) -> None:
    """Copy the indices, as of one moment, into a new directory, while reads and writes go on."""
    with _opened(directory, readonly=True) as db:
        if index is None:
            db.backup(target, progress=_on_terminal())
        else:
            check_name(db, directory, index)
            db.index(index).backup(target, progress=_on_terminal())
    with quidditch.connect(target, readonly=True) as copy:
        names = copy.indices()
    size_bytes = sum(file.stat().st_size for file in Path(target).expanduser().rglob("data.mdb"))
    if as_json:
        render.print_json({"backup": target, "indices": names, "size_bytes": size_bytes})
        return
    render.print_line(
        f"{render.counted(len(names), 'index')} copied to {target}, {render.size_text(size_bytes)}: "
        + ", ".join(names)
    )


def restore(
    source: Annotated[str, typer.Argument(metavar="BACKUP", help="The directory that a backup made.")],
    directory: Annotated[str, typer.Argument(metavar="DIR", help="Where to; made if it is not there.")],
    index: Annotated[str | None, typer.Option("--index", metavar="NAME", help="This index alone.")] = None,
    name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="What to call it.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of indices that are there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Verify a backup, and bring its indices back, each at once and as a whole."""
    if not Path(source).expanduser().is_dir():
        raise NothingFound(f"there is no backup {source}")
    if name is not None and index is None:
        raise CommandError("--as says what to call one index: say which, by --index")
    with quidditch.connect(source, readonly=True, create=False) as backed_up:
        if index is not None:
            check_name(backed_up, source, index)
        names = backed_up.indices() if index is None else [name or index]
    _check_free(directory, names, replace)
    with quidditch.connect(Path(directory)) as db:
        names = db.restore(source, index, name=name, replace=replace, progress=_on_terminal())
        counts = {one: len(db.index(one)) for one in names}
    if as_json:
        render.print_json({"restored": counts})
        return
    for one, count in counts.items():
        render.print_line(f"{one}: {render.counted(count, 'document')} restored")


def _check_free(directory: str, names: list[str], replace: bool) -> None:
    """Nothing when indices may be called so; nothing is made on the way. raises: CommandError, RequestError"""
    taken: set[str] = set()
    if (Path(directory).expanduser() / "catalog" / "data.mdb").exists():
        with quidditch.connect(directory, readonly=True, create=False) as db:
            taken = set(db.indices())
    for name in names:
        check_index_name(name)
        if name in taken and not replace:
            raise CommandError(
                f"index {name!r} is already there in {directory}; --replace takes its place, and --as NAME calls "
                "one index something else"
            )


def compact(directory: Directory, name: OneIndex = None, as_json: AsJson = False) -> None:
    """Write indices anew without the space that deletes and merges freed, while readers go on."""
    with _opened(directory, readonly=False) as db:
        if name is not None:
            check_name(db, directory, name)
        sizes: dict[str, tuple[int, int]] = {}
        for one in [name] if name is not None else db.indices():
            index = db.index(one)
            before = index.stats().size_bytes
            index.compact(progress=_on_terminal())
            sizes[one] = (before, index.stats().size_bytes)
    if as_json:
        render.print_json([{"index": one, "before": old, "after": new} for one, (old, new) in sizes.items()])
        return
    columns = [("index", "name"), ("before", "number"), ("now", "number")]
    render.print_table(
        columns, ([one, render.size_text(old), render.size_text(new)] for one, (old, new) in sizes.items())
    )


def _opened(directory: str, *, readonly: bool) -> LocalDatabase:
    check_directory(directory)
    return quidditch.connect(Path(directory), readonly=readonly, create=False)
