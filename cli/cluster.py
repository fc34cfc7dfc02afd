"""`quidditch cluster`: a cluster on this machine, and its processes one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

import quidditch

from . import cluster_admin, cluster_reseeding, cluster_snapshots, render
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
File = Annotated[Path, typer.Argument(metavar="FILE", help="The process's configuration, in TOML or YAML.")]


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
        int | None,
        typer.Option(
            "--data-nodes", metavar="N", min=1, max=32, help="Processes that hold shards; at first 3."
        ),
    ] = None,
    replicas: Annotated[
        int | None,
        typer.Option(
            "--replicas", metavar="N", min=0, max=10, help="Of indices that say nothing of it; at first 1."
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="PORT", min=1, max=65535, help="Of OpenSearch's REST API; at first 9200."
        ),
    ] = None,
    nats: Annotated[
        int | None,
        typer.Option(
            "--nats", metavar="N", help="Servers of NATS: 1, 3 or 5; one of three may fail. At first 1."
        ),
    ] = None,
    nats_url: Annotated[
        list[str] | None,
        typer.Option("--nats-url", metavar="URL", help="NATS servers that run, in place of any of its own."),
    ] = None,
    masters: Annotated[
        int | None,
        typer.Option(
            "--masters", metavar="N", min=1, max=5, help="One is active, others stand by. At first 1."
        ),
    ] = None,
    tls: Annotated[
        bool | None,
        typer.Option(
            "--tls/--no-tls", help="Encrypt between all processes, with a CA and certificates of its own."
        ),
    ] = None,
    repositories: Annotated[
        list[Path] | None,
        typer.Option(
            "--repositories",
            metavar="DIR",
            help="Where snapshots may lie: below it; several are given by several.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start a whole cluster on this machine, NATS included, in a folder; or what of it does not run.

    What is not given is as it was when the cluster was put up before.
    """
    with _needing_its_libraries():
        from quidditch.cluster import machine
        from quidditch.cluster.layout import planned

    plan = planned(
        folder.resolve(),
        data_nodes=data_nodes,
        replicas=replicas,
        port=port,
        nats=nats,
        nats_urls=tuple(nats_url) if nats_url else None,
        masters=masters,
        tls=tls,
        repositories=tuple(str(each.resolve()) for each in repositories) if repositories else None,
    )
    url = machine.up(folder.resolve(), plan)
    if as_json:
        typer.echo(render.to_json({"url": url}))
    else:
        told = f"{url} answers; {plan.data_nodes} data nodes."
        typer.echo(f"{told} `quidditch cluster down {folder}` ends it")


@app.command(epilog=EPILOG, no_args_is_help=True)
def down(folder: Folder, as_json: AsJson = False) -> None:
    """End the processes of the cluster in a folder; its data stay."""
    with _needing_its_libraries():
        from quidditch.cluster import machine

    ended = machine.down(folder.resolve())
    typer.echo(render.to_json({"ended": ended}) if as_json else f"ended: {', '.join(ended) or 'nothing ran'}")


@app.command(epilog=EPILOG)
def config(
    roles: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ROLE]...", help="master, data, coordinator; all if none is named."),
    ] = None,
) -> None:
    """Print a file of configuration for a process in these roles, with what each key is for."""
    with _needing_its_libraries():
        from quidditch.cluster.configuration import ROLES
        from quidditch.cluster.example import example

    typer.echo(example(roles or list(ROLES)), nl=False)


@app.command(epilog=EPILOG, no_args_is_help=True)
def run(file: File) -> None:
    """Be what the file's `roles` say, one or several, until SIGTERM."""
    _run("", file)


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
        from quidditch.cluster.logs import start_logging
        from quidditch.cluster.process import run

    configuration = read_configuration(file)
    if role:
        configuration = replace(configuration, roles=(role,))
    start_logging(configuration)
    if code := run(configuration):
        raise typer.Exit(code)


for further in (cluster_admin, cluster_snapshots, cluster_reseeding):
    app.registered_commands += further.commands.registered_commands
