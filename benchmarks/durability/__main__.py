"""`python -m benchmarks.durability`: group commit, "async", merging beside a load, and the space of rewriting."""

from __future__ import annotations

import json
import tempfile
from itertools import count, islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.corpora import Doc, read_jsonl, repeated, synthetic
from benchmarks.durability import measure
from benchmarks.machine import machine_facts
from benchmarks.questions import query_classes

HISTORY = Path(__file__).parents[1] / "history"
THREADS = (1, 8, 32)


def main(
    data: Annotated[
        Path | None, typer.Option(help="JSONL with _id, title, text; made-up text without.")
    ] = None,
    parts: Annotated[
        str, typer.Option(help="Which: group, async, merging, space.")
    ] = "group,async,merging,space",
    seconds: Annotated[float, typer.Option(help="Seconds of each measurement of single writes.")] = 4.0,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of group commit; medians are shown.")] = 3,
    load: Annotated[int, typer.Option(min=1, help="Documents loaded beside searches.")] = 200_000,
    rewrite: Annotated[int, typer.Option(min=1, help="Documents written anew ten times.")] = 100_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON in place of tables.")] = False,
    save: Annotated[
        str | None, typer.Option(help="Name of a file to write under benchmarks/history.")
    ] = None,
) -> None:
    """Measure what durability and upkeep cost on this machine."""
    docs = list(read_jsonl(data)) if data else list(synthetic(20_000))
    wanted = set(parts.split(","))
    found: dict[str, Any] = {"machine": machine_facts(), "data": str(data.name) if data else "made up"}
    with tempfile.TemporaryDirectory() as work:
        folders = (Path(work) / str(number) for number in count())
        if "group" in wanted:
            found["group"] = group(folders, docs, seconds, rounds)
        if "async" in wanted:
            settings = {"durability": "async"}
            found["async"] = {
                "one thread": measure.adds_per_second(next(folders), docs, 1, seconds, settings),
                "eight threads": measure.adds_per_second(next(folders), docs, 8, seconds, settings),
            }
        if "merging" in wanted:
            found["merging"] = merging(folders, docs, load)
        if "space" in wanted:
            many = sized(docs, rewrite)
            found["space"] = measure.rewritten(next(folders), many, 10)
    text = json.dumps(found, indent=1)
    if save:
        (HISTORY / f"{save}.json").write_text(text + "\n")
    if as_json:
        print(text)
    else:
        show(found)


def sized(docs: list[Doc], size: int) -> list[Doc]:
    """So many documents, made of these."""
    return list(islice(repeated(docs, 1 + size // len(docs)), size))


def group(folders: Any, docs: list[Doc], seconds: float, rounds: int) -> dict[str, Any]:
    """Documents a second by threads, in turns; and their ratio to one thread, divided by the threads."""
    rates: dict[int, list[float]] = {threads: [] for threads in THREADS}
    for _ in range(rounds):
        for threads in THREADS:
            rates[threads].append(measure.adds_per_second(next(folders), docs, threads, seconds))
    medians = {threads: measure.percentile(found, 0.5) for threads, found in rates.items()}
    return {
        str(threads): {"documents_per_s": round(rate), "of_perfect": round(rate / medians[1] / threads, 3)}
        for threads, rate in medians.items()
    }


def merging(folders: Any, docs: list[Doc], load: int) -> dict[str, Any]:
    queries = [" ".join(words) for one in query_classes(docs[:5_000], 20) for words in one.queries]
    base, more = sized(docs, 50_000), [{**doc, "_id": f"more-{doc['_id']}"} for doc in sized(docs, load)]
    return {
        "no load": measure.at_leisure(next(folders), base, queries, 10).to_dict(),
        "load, no merging": measure.beside_a_load(next(folders), base, more, queries, merges=False).to_dict(),
        "load, merging": measure.beside_a_load(next(folders), base, more, queries, merges=True).to_dict(),
    }


def show(found: dict[str, Any]) -> None:
    console = Console(width=120)
    for part in ("group", "async", "merging", "space"):
        rows = found.get(part)
        if rows is None:
            continue
        named = rows.items() if isinstance(rows, dict) else enumerate(rows)
        table = Table(title=part)
        plain = [
            (str(name), row if isinstance(row, dict) else {"documents_per_s": round(row)})
            for name, row in named
        ]
        columns = list(dict.fromkeys(key for _, row in plain for key in row))
        table.add_column("")
        for column in columns:
            table.add_column(column, justify="right")
        for name, row in plain:
            table.add_row(name, *(f"{row[key]:,}" if key in row else "" for key in columns))
        console.print(table)


if __name__ == "__main__":
    typer.run(main)
