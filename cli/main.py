"""The command line: its commands, and how an error is shown."""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from quidditch.version import __version__

from . import (
    accounts,
    admin,
    bench,
    cluster,
    demo,
    documents,
    indexing,
    openapi,
    render,
    safekeeping,
    searching,
    serving,
    torture,
)
from .failures import EPILOG, INTERRUPTED, OUTPUT_CLOSED, Failure, describe
from .opening import AS_JSON

TRACEBACK = "QUIDDITCH_TRACEBACK"
QUERYING = ("search", "count", "demo")


class Commands(TyperGroup):
    """The commands, with every error shown as one sentence instead of a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            _close_output()
            raise typer.Exit(OUTPUT_CLOSED) from None
        except Exception as error:
            if _belongs_to_typer(error):
                _explain_minus(error, ctx.invoked_subcommand)
                raise
            if os.environ.get(TRACEBACK):
                raise
            failure = describe(error)
            _show(failure, as_json=bool(ctx.meta.get(AS_JSON)))
            raise typer.Exit(failure.exit_code) from error


def _belongs_to_typer(error: Exception) -> bool:
    # Usage errors, exits and aborts; Typer carries its own copy of Click, so they are told by what they have.
    return isinstance(error, (typer.Exit, typer.Abort)) or hasattr(error, "exit_code")


def _explain_minus(error: Any, command: str | None) -> None:
    """Adds to the error of a word such as -messiah, which was taken for an option, how to say it."""
    if command in QUERYING and type(error).__name__ == "NoSuchOption":
        error.message += '\nA word to leave out? Quote the query ("dune -messiah"), or put -- before it.'


def _show(failure: Failure, *, as_json: bool) -> None:
    if as_json:
        sys.stderr.write(render.to_json(failure.to_dict()) + "\n")
    else:
        render.print_error(failure.message)


app = typer.Typer(
    name="quidditch",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"quidditch {__version__}")
        raise typer.Exit


@app.callback()
def quidditch(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Search text: index files into a directory, and find things in them, ranked.

    Try it on text that is already here: quidditch demo "parse a date from a string"
    """


for command in (
    demo.demo,
    indexing.index,
    searching.search,
    documents.get,
    documents.delete,
    documents.count,
    admin.indices,
    admin.stats,
    searching.analyze,
    admin.merge,
    bench.bench,
    safekeeping.check,
    safekeeping.backup,
    safekeeping.restore,
    safekeeping.compact,
    serving.serve,
    openapi.openapi,
    torture.torture,
    admin.version,
):
    app.command(epilog=EPILOG, no_args_is_help=command not in (demo.demo, openapi.openapi, admin.version))(
        command
    )

for group in (accounts.users, accounts.keys, accounts.roles, cluster.app):
    app.add_typer(group)


def run() -> None:
    """The `quidditch` command: runs what was typed and ends the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character gets a replacement, not a traceback.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    app(prog_name="quidditch")


def _close_output() -> None:
    """Sends what is still to be written nowhere, so that the interpreter's last flush does not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    run()
