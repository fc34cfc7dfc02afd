"""`quidditch cluster snapshot`, `snapshots`, `restore`: the last line of recovery, over the REST API of a
coordinator, which is the one that reads and writes the repository."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from . import render
from .cluster_admin import Ask, ClusterAt, coordinator
from .failures import EPILOG, STORAGE, CommandError
from .opening import AsJson

commands = typer.Typer()

RepositoryName = Annotated[
    str,
    typer.Argument(
        metavar="REPOSITORY", help="The repository: a directory that the cluster knows by a name."
    ),
]
SnapshotName = Annotated[str, typer.Argument(metavar="NAME", help="The snapshot.")]


@commands.command(epilog=EPILOG, no_args_is_help=True)
def snapshot(
    location: ClusterAt,
    repository: RepositoryName,
    name: SnapshotName,
    directory: Annotated[
        str,
        typer.Option(
            "--location",
            metavar="DIR",
            help="Make the repository there first, on the coordinator, below one of its rest.repositories.",
        ),
    ] = "",
    indices: Annotated[
        list[str] | None,
        typer.Option("--index", metavar="NAME", help="This index, alias or pattern; several; else all."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy indices into a repository while reads and writes go on; what did not change is not copied again."""
    with coordinator(location) as ask:
        if directory:
            about = {"type": "fs", "settings": {"location": directory}}
            ask("PUT", f"/_snapshot/{_step(repository)}", about)
        body = {"indices": indices} if indices else {}
        with _waiting(f"taking {name}"):
            ask("PUT", f"{_path(repository, name)}?wait_for_completion=true", body, lasting=True)
        (made,) = _listed(ask, repository, name)
    if as_json:
        render.print_json(made)
        return
    render.print_line(
        f"{name}: {render.counted(len(made['indices']), 'index')} in {render.counted(made['shards'], 'shard')}, "
        f"{render.size_text(made['size_bytes'])}, in {made['duration_ms'] / 1000:.1f} s"
    )


@commands.command(epilog=EPILOG, no_args_is_help=True)
def snapshots(
    location: ClusterAt,
    repository: RepositoryName,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read every byte; exit code 4 when a file is not what was written."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the snapshots in a repository, oldest first, and whether their files are whole."""
    with coordinator(location) as ask:
        found = _listed(ask, repository, "_all")
        if verify:
            for each in found:
                with _waiting(f"verifying {each['snapshot']}"):
                    path = f"{_path(repository, each['snapshot'])}/_verify"
                    each["damages"] = ask("POST", path, lasting=True)["damages"]
    damaged = any(each.get("damages") for each in found)
    if as_json:
        render.print_json(found)
    else:
        _show(repository, found)
    if damaged:
        raise typer.Exit(STORAGE)


def _show(repository: str, found: list[dict[str, Any]]) -> None:
    if not found:
        render.print_line(f"no snapshots in {repository}")
        return
    columns = [("snapshot", "name"), ("state", "text"), ("started", "name"), ("seconds", "number")]
    columns += [("shards", "number"), ("size", "number"), ("indices", "text")]
    rows = []
    for each in found:
        state = each["state"].lower() if "damages" not in each else "damaged" if each["damages"] else "whole"
        started, took = each["start_time"][:19].replace("T", " "), f"{each['duration_ms'] / 1000:.1f}"
        size = render.size_text(each["size_bytes"])
        rows.append(
            [each["snapshot"], state, started, took, str(each["shards"]), size, ", ".join(each["indices"])]
        )
    render.print_table(columns, rows)
    for each in found:
        for words in each.get("damages", ()):
            render.print_error(words)


@commands.command(epilog=EPILOG, no_args_is_help=True)
def restore(
    location: ClusterAt,
    repository: RepositoryName,
    name: SnapshotName,
    indices: Annotated[
        list[str] | None,
        typer.Option("--index", metavar="NAME", help="This index of it, or pattern; several; else all."),
    ] = None,
    pattern: Annotated[
        str,
        typer.Option("--rename-pattern", metavar="REGEX", help="What of the names is replaced: (.+) is all."),
    ] = "",
    replacement: Annotated[
        str,
        typer.Option("--rename-replacement", metavar="TEXT", help="By what: old-$1; $1 is the first group."),
    ] = "",
    shards: Annotated[
        int | None,
        typer.Option("--shards", metavar="N", min=1, help="Write the documents anew, into so many shards."),
    ] = None,
    replicas: Annotated[
        int | None, typer.Option("--replicas", metavar="N", min=0, help="Further copies of each shard.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring indices of a snapshot back; never over one that is there. Every file is verified before."""
    if bool(pattern) != bool(replacement):
        raise CommandError("--rename-pattern and --rename-replacement are given together, or not at all")
    settings = {"number_of_shards": shards, "number_of_replicas": replicas}
    body: dict[str, Any] = {
        "indices": indices,
        "rename_pattern": pattern,
        "rename_replacement": replacement,
        "index_settings": {setting: value for setting, value in settings.items() if value is not None},
    }
    with coordinator(location) as ask, _waiting(f"restoring {name}"):
        path = f"{_path(repository, name)}/_restore?wait_for_completion=true"
        said = ask("POST", path, {key: value for key, value in body.items() if value}, lasting=True)[
            "snapshot"
        ]
    if as_json:
        render.print_json({"snapshot": name, "indices": said["indices"], "shards": said["shards"]["total"]})
        return
    number = render.counted(said["shards"]["total"], "shard")
    render.print_line(f"restored from {name}: {', '.join(said['indices']) or 'nothing'}; {number}")


# --------------------------------------------------------------------------------------------------- asking


def _listed(ask: Ask, repository: str, name: str) -> list[dict[str, Any]]:
    """What the cluster tells of snapshots, with the sizes that another of its answers has."""
    path = _path(repository, name)
    sizes = {
        one["snapshot"]: one["stats"]["total"]["size_in_bytes"]
        for one in ask("GET", f"{path}/_status")["snapshots"]
    }
    return [
        {
            "snapshot": one["snapshot"],
            "state": one["state"],
            "start_time": one["start_time"],
            "duration_ms": one["duration_in_millis"],
            "indices": one["indices"],
            "shards": one["shards"]["total"],
            "size_bytes": sizes.get(one["snapshot"], 0),
        }
        for one in ask("GET", path)["snapshots"]
    ]


def _path(repository: str, name: str) -> str:
    return f"/_snapshot/{_step(repository)}/{_step(name)}"


def _step(name: str) -> str:
    from quidditch.remote.exchange import step

    return step(name)


@contextmanager
def _waiting(what: str) -> Iterator[None]:
    """A sign of life on a terminal, and nothing elsewhere. How far it is nobody can ask: half a snapshot is none."""
    to = render.console(sys.stderr)
    if not to.is_terminal:
        yield
        return
    with to.status(render.plain(what)):
        yield
