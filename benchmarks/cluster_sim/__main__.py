"""`python -m benchmarks.cluster_sim`: what a cluster of a hundred nodes would cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.cluster_sim.fan_out import fan_out
from benchmarks.cluster_sim.placing import Scale, changes, master_times, settled, sizes
from benchmarks.machine import machine_facts

HISTORY = Path(__file__).parents[1] / "history"


def main(
    nodes: Annotated[int, typer.Option(min=2, help="Data nodes.")] = 100,
    zones: Annotated[int, typer.Option(min=1, help="Zones that they stand in.")] = 3,
    shards: Annotated[int, typer.Option(min=10, help="Shards, ten to an index.")] = 3_000,
    copies: Annotated[int, typer.Option(min=1, help="Copies of each.")] = 2,
    parts: Annotated[str, typer.Option(help="Which: sizes, changes, master, fan_out.")] = (
        "sizes,changes,master,fan_out"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")] = False,
    save: Annotated[
        str | None, typer.Option(help="Name of a file to write under benchmarks/history.")
    ] = None,
) -> None:
    """Simulate a large cluster on this machine, with shards that are none."""
    scale, wanted = Scale(nodes, zones, shards, copies=copies), set(parts.split(","))
    found: dict[str, Any] = {"machine": machine_facts(), "nodes": nodes, "zones": zones}
    found |= {"shards": shards, "copies": copies}
    if wanted & {"sizes", "master"}:
        table = settled(scale)
        if "sizes" in wanted:
            found["sizes"] = sizes(scale, table)
        if "master" in wanted:
            found["master_ms"] = master_times(scale, table)
    if "changes" in wanted:
        found["changes"] = changes(scale)
    if "fan_out" in wanted:
        found["fan_out"] = fan_out()
    text = json.dumps(found, indent=1)
    if save:
        (HISTORY / f"{save}.json").write_text(text + "\n")
    if as_json:
        print(text)
    else:
        show(found)


def show(found: dict[str, Any]) -> None:
    """The figures as tables."""
    console = Console()
    for title in ("sizes", "master_ms"):
        if title in found:
            rows = [{"what": name, "": value} for name, value in found[title].items()]
            console.print(_table(title, rows))
    if "changes" in found:
        rows = [{"change": name, **told} for name, told in found["changes"].items()]
        console.print(_table("changes", rows))
    if "fan_out" in found:
        told = found["fan_out"]
        title = f"fan-out; one shard {told['one_shard']}, asked again after {told['hedged_after_ms']} ms"
        console.print(_table(title, told["rows"]))


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    return table


if __name__ == "__main__":
    typer.run(main)
