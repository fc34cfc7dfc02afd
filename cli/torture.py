"""`quidditch torture`: kill writers, or parts of a cluster, at random moments, and see whether anything is lost."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from quidditch.torture import TortureReport, run
from quidditch.torture.campaign import DEFAULT_MINUTES, Watch

from . import render
from .failures import REFUSED
from .opening import AsJson
from .torture_cluster import torture_cluster


def torture(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A directory for this alone; removed when nothing is found.")
    ],
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            metavar="M",
            min=0.01,
            help=f"How long. [default: {DEFAULT_MINUTES:g}, or until --kills]",
        ),
    ] = None,
    kills: Annotated[
        int | None, typer.Option("--kills", metavar="N", min=1, help="End after so many kills.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", metavar="S", min=0, help="What decides all but the clock. [default: a new one]"
        ),
    ] = None,
    threads: Annotated[
        int,
        typer.Option(
            "--threads",
            metavar="T",
            min=1,
            help="Writers in the process that is killed; clients of a cluster.",
        ),
    ] = 4,
    cluster: Annotated[
        bool,
        typer.Option(
            "--cluster",
            help="A cluster of processes in place of a directory; needs nats-server 2.10 or newer.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Kill writers with SIGKILL at random moments, over and over, and check what is left each time.

    After each kill the index must open, pass its own check, hold every acknowledged write, nothing half done and
    nothing else, and give the scores of a fresh index. Exit code 1 when it does not.

    With --cluster, processes of a cluster are killed, hang and lose their disks while clients write and read; no
    promise to them may break, and all copies must be the same in the end.
    """
    if cluster:
        torture_cluster(directory, minutes=minutes, kills=kills, seed=seed, sessions=threads, as_json=as_json)
        return
    with _progress(minutes, kills) as watch:
        report = run(directory, minutes=minutes, kills=kills, seed=seed, threads=threads, watch=watch)
    if as_json:
        render.print_json(report.to_dict())
    else:
        _print(report)
    if not report:
        raise typer.Exit(REFUSED)


@contextmanager
def _progress(minutes: float | None, kills: int | None) -> Iterator[Watch]:
    """A function to tell the report so far; it draws on a terminal and is silent elsewhere."""
    to = render.console(sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    seconds = 60 * (minutes or DEFAULT_MINUTES)
    with Progress(*columns, console=to, transient=True, disable=not to.is_terminal) as bar:
        task = bar.add_task("the first round", total=kills or seconds)

        def watch(report: TortureReport) -> None:
            done = (
                f"{render.counted(report.kills, 'kill')}, {render.counted(len(report.findings), 'finding')}"
            )
            bar.update(task, description=done, completed=report.kills if kills else report.seconds)

        yield watch


def _print(report: TortureReport) -> None:
    rows = [
        ["rounds", f"{report.rounds:,}"],
        ["kills", f"{report.kills:,}"],
        ["operations", f"{report.operations:,}"],
        ["acknowledged", f"{report.acknowledged:,}"],
        ["checks", f"{report.checks:,}"],
        ["documents compared", f"{report.documents:,}"],
        ["findings", f"{len(report.findings):,}"],
        ["seed", f"{report.seed}"],
        ["seconds", f"{report.seconds:,.1f}"],
    ]
    render.print_table([("", "name"), ("", "number")], rows)
    if report.findings:
        columns = [("round", "number"), ("finding", "name"), ("what was seen", "text")]
        found = [[str(finding.round), finding.kind, finding.words] for finding in report.findings]
        render.print_table(columns, found)
        for kept in dict.fromkeys(finding.kept for finding in report.findings):
            render.print_line(f"kept in {kept}", render.QUIET)
