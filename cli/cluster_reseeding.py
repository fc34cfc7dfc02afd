"""`quidditch cluster reseed`: the log of a shard made anew from what its copies have, when an operator says so. It
goes to NATS itself: no coordinator may decide this, and none is needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

import quidditch

from . import render
from .cluster_admin import IndexName, ShardNumber
from .failures import EPILOG
from .opening import AsJson

commands = typer.Typer()


@commands.command(epilog=EPILOG, no_args_is_help=True)
def reseed(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR_OR_FILE",
            help="The folder of the cluster, or the configuration of one of its processes.",
        ),
    ],
    index: IndexName,
    shard: ShardNumber,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without",
            metavar="NODE",
            help="Do without the copy on this node, which will not come back; several.",
        ),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Delete a log that is there and that no copy follows, with what is in it."
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a shard's log anew, which NATS has lost, behind the copy that is furthest. What no copy has is lost then.

    The master does so by itself once every copy is heard of: this is for a node that is gone for good.
    """
    try:
        from quidditch.cluster import machine, reseeding
    except ImportError as error:
        raise quidditch.MissingLibrary(
            f"cluster: {error.name} is not installed; pip install 'quidditch[cluster]' installs it"
        ) from error
    with machine.catalogue_of(folder.resolve()) as catalogue:
        which, beginning = reseeding.planned(catalogue, index, shard, without or ())
        gone = f" and without what {', '.join(without)} alone had" if without else ""
        if not yes:
            _confirm(f"make the log of shard {shard} of {index} anew, from {beginning.applied} on{gone}?")
        made = reseeding.reseed(catalogue.connection, which, beginning, replace=replace)
    if as_json:
        render.print_json({"index": index, "shard": shard, "made": made, "applied": beginning.applied})
    else:
        done = "is made anew" if made else "had been made anew already"
        render.print_line(f"the log of shard {shard} of {index} {done}, from {beginning.applied} on")


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise typer.BadParameter("reseed asks before it does anything; say --yes where nobody answers")
    typer.confirm(question, abort=True, err=True)
