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
        str, typer.Option("--host", metavar="HOST", help="The address to listen at; of this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=1, max=65535, help="Where to listen.")
    ] = 9200,
    as_json: AsJson = False,
) -> None:
    """Answer OpenSearch's REST API over a directory, until Ctrl-C or SIGTERM.

    Clients of OpenSearch 2 take it for OpenSearch: `curl localhost:9200`.
    """
    # Loaded for this command alone: a server needs more libraries than a search does.
    try:
        from quidditch.server.serving import serve as run
    except ImportError as error:
        raise quidditch.MissingLibrary(
            f"serve: {error.name} is not installed; pip install 'quidditch[server]' installs it"
        ) from error
    with quidditch.connect(directory) as database:
        url = f"http://{host}:{port}"
        if as_json:
            render.print_json({"url": url, "directory": str(directory)})
        else:
            typer.echo(f"quidditch: {directory} at {url}", err=True)
        run(database, host, port)
