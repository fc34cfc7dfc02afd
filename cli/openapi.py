"""`quidditch openapi`: what the server can be asked, for programs that read it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import quidditch

from . import render
from .opening import AsJson


def openapi(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there, not to the screen.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the OpenAPI document of the server's REST API, as JSON; with `--json` an error is JSON, too."""
    # Loaded for this command alone: a server needs more libraries than a search does.
    try:
        from quidditch.server.openapi import document
        from quidditch.server.routes import GROUPS
    except ImportError as error:
        raise quidditch.MissingLibrary(
            f"openapi: {error.name} is not installed; pip install 'quidditch[server]' installs it"
        ) from error
    told = document(route for group in GROUPS for route in group.declared)
    if output is None:
        render.print_json(told)
    else:
        output.write_text(render.to_json(told) + "\n", encoding="utf-8")
