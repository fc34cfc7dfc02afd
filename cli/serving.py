"""`quidditch serve`: OpenSearch's REST API over a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import quidditch

from . import render
from .opening import AsJson


def serve(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The directory; made if it is not there.")],
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="HOST",
            help="The address to listen at. One that others reach needs accounts, and TLS or --insecure.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=1, max=65535, help="Where to listen.")
    ] = 9200,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="The certificate, in PEM: serve HTTPS.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="The certificate's key, in PEM.")
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure", help="Listen beyond this machine without TLS: passwords can be read on the way."
        ),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allow-host", metavar="NAME", help="A further name by which clients reach the server."
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            metavar="N",
            min=1,
            max=64,
            help="Processes that share the directory and the socket; a core each.",
        ),
    ] = 1,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="NAME=NUMBER", help="A limit of each process; see docs/server.md."),
    ] = None,
    log_level: Annotated[
        str,
        typer.Option(
            "--log-level",
            metavar="LEVEL",
            help="What is logged, as lines of JSON on standard error: info has a line for every request.",
        ),
    ] = "warning",
    as_json: AsJson = False,
) -> None:
    """Answer OpenSearch's REST API over a directory, until Ctrl-C or SIGTERM.

    Clients of OpenSearch 2 take it for OpenSearch: `curl localhost:9200`. Without accounts (`quidditch users`,
    `quidditch keys`) everybody on this machine may do everything, and nobody else anything.
    """
    # Loaded for this command alone: a server needs more libraries than a search does.
    try:
        from quidditch.server.runtime.limits import Limits
        from quidditch.server.runtime.logs import log_as_json
        from quidditch.server.security.exposure import expose
        from quidditch.server.serving import Serving, serve_directory
    except ImportError as error:
        raise quidditch.MissingLibrary(
            f"serve: {error.name} is not installed; pip install 'quidditch[server]' installs it"
        ) from error
    exposure = expose(
        directory, host, tls_cert=tls_cert, tls_key=tls_key, insecure=insecure, names=allow_host or ()
    )
    serving = Serving(exposure, port, workers, Limits.of(limit or ()))
    log_as_json(log_level)

    def ready(url: str) -> None:
        if as_json:
            render.print_json({"url": url, "directory": str(directory)})
        else:
            typer.echo(f"quidditch: {directory} at {url}", err=True)

    if code := serve_directory(directory, serving, ready):
        raise typer.Exit(code)
