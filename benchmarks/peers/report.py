"""A run's tables, in a terminal or as Markdown: `python -m benchmarks.peers.report FILE.json`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.peers.run import Run, load
from benchmarks.peers.tables import Rows, all_tables
from benchmarks.peers.targets import targets

TABLE_WIDTH = 170


def main(
    file: Annotated[Path, typer.Argument(help="A run, such as benchmarks/history/NAME.json.")],
    terminal: Annotated[bool, typer.Option(help="Tables for a terminal in place of Markdown.")] = False,
    into: Annotated[
        Path | None, typer.Option(help="A page whose part between the marks of --part is replaced.")
    ] = None,
    part: Annotated[str, typer.Option(help="The name in the marks.")] = "tables",
) -> None:
    """Render a run of the history: what it ran on, what was left out, every table, and the targets."""
    run = load(file)
    if terminal:
        print_run(run, Console(width=TABLE_WIDTH))
    elif into:
        into.write_text(filled(into.read_text(), part, "\n".join(as_markdown(run))))
    else:
        print("\n".join(as_markdown(run)))


def filled(page: str, part: str, text: str) -> str:
    """The page with the text between `<!-- PART -->` and `<!-- end of PART -->`.

    raises: ValueError   the page has not both marks
    """
    begin, end = f"<!-- {part} -->\n", f"<!-- end of {part} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"the page must hold the marks {begin.strip()} and {end} once each")
    before, rest = page.split(begin)
    return f"{before}{begin}\n{text}\n\n{end}{rest.split(end)[1]}"


def facts(run: Run) -> list[str]:
    """What a reader must know before the figures."""
    machine = run.machine
    lines = [
        f"{run.corpus['documents']:,} documents ({run.corpus['data']}, {run.corpus['corpus']}, "
        f"{run.corpus['bytes'] / 1e6:,.0f} MB of JSON); {machine['processor']}, {machine['usable_cores']} cores, "
        f"{machine['memory']}, {machine['system']}, Python {machine['python']}, {machine['date'][:10]}"
    ]
    for name, version in run.versions.items():
        reasons = "; ".join(run.reasons.get(name, []))
        if version:
            lines.append(f"{name} {version}{': ' if reasons else ''}{reasons}")
        else:
            lines.append(f"{name} absent, so not measured{': ' if reasons else ''}{reasons}")
    return lines


def print_run(run: Run, console: Console) -> None:
    for line in facts(run):
        console.print(line, highlight=False, markup=False)
    for rows in [*all_tables(run), targets(run)]:
        console.print(_table(rows))


def _table(rows: Rows) -> Table:
    table = Table(title=rows.title, title_justify="left")
    for place, column in enumerate(rows.columns):
        table.add_column(column, justify="right" if place else "left")
    for row in rows.rows:
        if table.row_count and row[0] and len(rows.columns) > 6 and rows.columns[1] == "engine":
            table.add_section()
        table.add_row(*row)
    return table


def as_markdown(run: Run) -> Iterator[str]:
    """Lines of Markdown."""
    first, *engines = facts(run)
    yield from (first + ".", "")
    yield from (f"- {line}" for line in engines)
    for rows in [*all_tables(run), targets(run)]:
        yield from ("", f"### {rows.title}", "")
        yield f"| {' | '.join(rows.columns)} |"
        yield f"|{'---|' + '---:|' * (len(rows.columns) - 1)}"
        yield from (f"| {' | '.join(row)} |" for row in rows.rows)


if __name__ == "__main__":
    typer.run(main)
