"""`quidditch torture --cluster`: a cluster under load, its processes killed, and what is left of its promises."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import quidditch

from . import render
from .failures import REFUSED

if TYPE_CHECKING:
    from quidditch.cluster_torture import ClusterReport
    from quidditch.cluster_torture.campaign import Watch


def torture_cluster(
    directory: Path,
    *,
    minutes: float | None,
    kills: int | None,
    seed: int | None,
    sessions: int,
    as_json: bool,
) -> None:
    """Run a campaign on a cluster and say what was found; exit code 1 when something was."""
    try:
        from quidditch.cluster_torture import Size, run
        from quidditch.cluster_torture.campaign import DEFAULT_MINUTES
    except ImportError as error:
        raise quidditch.MissingLibrary(
            f"torture: {error.name} is not installed; pip install 'quidditch[cluster]' installs it"
        ) from error

    with _progress(kills, 60 * (minutes or DEFAULT_MINUTES)) as watch:
        report = run(
            directory, minutes=minutes, kills=kills, seed=seed, size=Size(sessions=sessions), watch=watch
        )
    if as_json:
        render.print_json(report.to_dict())
    else:
        _print(report)
    if not report:
        raise typer.Exit(REFUSED)


@contextmanager
def _progress(kills: int | None, seconds: float) -> Iterator[Watch]:
    """A function to tell the report so far; it draws on a terminal and is silent elsewhere."""
    to = render.console(sys.stderr)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=to, transient=True, disable=not to.is_terminal) as bar:
        task = bar.add_task("putting the cluster up", total=kills or seconds)

        def watch(report: ClusterReport) -> None:
            done = f"{render.counted(sum(report.faults.values()), 'fault')}, "
            done += render.counted(len(report.findings), "finding")
            bar.update(task, description=done, completed=report.kills if kills else report.seconds)

        yield watch


def _print(report: ClusterReport) -> None:
    rows = [
        ["rounds", f"{report.rounds:,}"],
        ["kills", f"{report.kills:,}"],
        *([f"  {name}", f"{times:,}"] for name, times in sorted(report.faults.items())),
        *([name, f"{times:,}"] for name, times in sorted(report.calls.items())),
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
        render.print_line(f"kept in {report.kept}", render.QUIET)
