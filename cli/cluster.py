"""`quidditch cluster`: a cluster on this machine, and its processes one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

import quidditch

from . import render
from .failures import EPILOG
from .opening import AsJson

app = typer.Typer(
    name="cluster",
    epilog=EPILOG,
    help="Many processes, or machines, as one database: shards with replicas. Needs nats-server 2.10 or newer.",
    no_args_is_help=True,
)

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder of the cluster; made if it is not there.")
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="The process's configuration, in TOML.")]


@contextmanager
def _needing_its_libraries() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise quidditch.MissingLibrary(
            f"cluster: {error.name} is not installed; pip install 'quidditch[cluster]' installs it"
        ) from error


@app.command(epilog=EPILOG, no_args_is_help=True)
def up(
    folder: Folder,
    data_nodes: Annotated[
        int, typer.Option("--data-nodes", metavar="N", min=1, max=32, help="Processes that hold shards.")
    ] = 3,
    replicas: Annotated[
        int, typer.Option("--replicas", metavar="N", min=0, max=10, help="Of indices that say nothing of it.")
    ] = 1,
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=1, max=65535, help="Of OpenSearch's REST API.")
    ] = 9200,
    as_json: AsJson = False,
) -> None:
    """Start a whole cluster on this machine, NATS included, in a folder."""
    with _needing_its_libraries():
        from quidditch.cluster import machine

    url = machine.up(folder.resolve(), machine.Plan(data_nodes, replicas, port))
    if as_json:
        typer.echo(render.to_json({"url": url}))
    else:
        typer.echo(f"{url} answers; {data_nodes} data nodes. `quidditch cluster down {folder}` ends it")


@app.command(epilog=EPILOG, no_args_is_help=True)
def down(folder: Folder, as_json: AsJson = False) -> None:
    """End the processes of the cluster in a folder; its data stay."""
    with _needing_its_libraries():
        from quidditch.cluster import machine

    ended = machine.down(folder.resolve())
    typer.echo(render.to_json({"ended": ended}) if as_json else f"ended: {', '.join(ended) or 'nothing ran'}")


@app.command(epilog=EPILOG, no_args_is_help=True)
def status(folder: Folder, as_json: AsJson = False) -> None:
    """The nodes and shards of the cluster in a folder."""
    with _needing_its_libraries():
        from quidditch.cluster import machine

    told = machine.status(folder.resolve())
    if as_json:
        typer.echo(render.to_json(told))
        return
    for name, pid in told["processes"].items():
        typer.echo(f"{name:<14} process {pid}")
    for shard in told["shards"]:
        applied = f"at {shard['applied']}"
        line = f"{shard['index']:<20} {shard['shard']:>4}  {shard['node']:<12} {shard['state']:<13} {applied}"
        typer.echo(f"{line}  {shard['failed']}".rstrip())


@app.command(epilog=EPILOG, no_args_is_help=True)
def master(file: File) -> None:
    """Be the master, until SIGTERM."""
    _run("master", file)


@app.command(epilog=EPILOG, no_args_is_help=True)
def data(file: File) -> None:
    """Be a data node, until SIGTERM."""
    _run("data", file)


@app.command(epilog=EPILOG, no_args_is_help=True)
def coordinator(file: File) -> None:
    """Answer OpenSearch's REST API over the cluster, until SIGTERM."""
    _run("coordinator", file)


def _run(role: str, file: Path) -> None:
    with _needing_its_libraries():
        from quidditch.cluster.configuration import read_configuration
        from quidditch.cluster.process import run

    run(role, read_configuration(file))
