"""`python -m benchmarks.peers.growth`: how indexing and every class of query grow with the documents.

One made-up or cut-up corpus of documents of about forty words, in several sizes; each size is indexed, searched and
thrown away before the next, so the disk holds one at a time.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.corpora import Doc, grouped, read_jsonl, short, synthetic, write_jsonl
from benchmarks.peers.__main__ import chosen
from benchmarks.peers.campaign import Campaign
from benchmarks.peers.engines import ENGINES
from benchmarks.peers.latency import Budget
from benchmarks.peers.run import HISTORY, Run

SIZES = "10000,100000,1000000,5000000"
WORDS = (30, 50)


def main(
    data: Annotated[
        Path | None, typer.Option(help="JSONL with _id, title, text, to cut up; made-up text without it.")
    ] = None,
    sizes: Annotated[str, typer.Option(help="How many documents, comma-separated.")] = SIZES,
    engines: Annotated[str, typer.Option(help="Comma-separated.")] = "quidditch,tantivy",
    queries: Annotated[int, typer.Option(min=1, help="Different queries of each class.")] = 100,
    rounds: Annotated[int, typer.Option(min=0, help="Warm turns, after the cold one.")] = 2,
    budget_s: Annotated[
        float, typer.Option(help="Seconds for the cold turn of a class, and for all warm ones.")
    ] = 15.0,
    index_budget_s: Annotated[float, typer.Option(help="Seconds an engine may take for indexing.")] = 900.0,
    work: Annotated[Path | None, typer.Option(resolve_path=True, help="Folder to work in.")] = None,
    save: Annotated[
        str | None, typer.Option(help="Name of a file to write under benchmarks/history.")
    ] = None,
) -> None:
    """Measure several sizes, print what grew by how much, and keep it for `benchmarks.peers.plot`."""
    names = chosen(engines, list(ENGINES), "engine")
    counts = [int(size) for size in sizes.split(",")]
    source: list[Doc] = list(read_jsonl(data) if data else synthetic(20_000))
    runs: list[Run] = []
    budget = Budget(budget_s, budget_s)
    with tempfile.TemporaryDirectory(prefix="quidditch-growth-", dir=work) as scratch:
        for count in counts:
            folder = Path(scratch) / str(count)
            folder.mkdir()
            file = folder / "docs.jsonl"
            write_jsonl(file, grouped(short(source, count, words=WORDS)))
            facts = {
                "corpus": f"of {WORDS[0]} to {WORDS[1]} words",
                "data": data.parent.name if data else "synthetic",
                "documents": count,
                "bytes": file.stat().st_size,
            }
            runs.append(one_size(names, facts, file, queries, rounds, budget, index_budget_s))
            shutil.rmtree(folder)
            if save:
                write(runs, save)
    show(runs, Console())


def one_size(
    names: Sequence[str],
    facts: Mapping[str, Any],
    file: Path,
    queries: int,
    rounds: int,
    budget: Budget,
    index_budget_s: float,
) -> Run:
    """Indexing, opening and the ten classes."""
    campaign = Campaign(names, file, facts)
    campaign.index(1, index_budget_s)
    campaign.draw(queries, lambda found: [each for each in found if each.family == "plain"])
    campaign.open(budget.anchors_s)
    campaign.ask(rounds, budget)
    return campaign.run


def write(runs: Sequence[Run], name: str) -> Path:
    """Writes the sizes measured so far, so that one which fails costs no other."""
    file = HISTORY / f"{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"growth": [asdict(run) for run in runs]}, indent=1) + "\n")
    return file


def show(runs: Sequence[Run], console: Console) -> None:
    """Warm means by class and engine, and the factor between the last two sizes beside that of the documents."""
    table = Table(title="Milliseconds a query, warm mean, by number of documents", title_justify="left")
    table.add_column("class")
    table.add_column("engine")
    for run in runs:
        table.add_column(f"{run.corpus['documents']:,}", justify="right")
    table.add_column("last factor", justify="right")
    for row in rows(runs):
        table.add_row(*row)
    console.print(table)


def rows(runs: Sequence[Run]) -> Iterator[list[str]]:
    for name in runs[-1].queries:
        for engine in runs[0].versions:
            found = [run.queries.get(name, {}).get(engine) for run in runs]
            means = [own.settled.mean_ms if own else None for own in found]
            spelled = [f"{mean:,.2f}" if mean else "" for mean in means]
            before, last = means[-2] if len(means) > 1 else None, means[-1]
            yield [name, engine, *spelled, f"{last / before:.1f}" if before and last else ""]


if __name__ == "__main__":
    typer.run(main)
