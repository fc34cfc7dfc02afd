"""Plots of runs of the history: `python -m benchmarks.peers.plot FILE.json … --to docs/images`.

Needs matplotlib, `pip install "quidditch[plot]"`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.peers.latency import Latency
from benchmarks.peers.run import OURS, Run, load, load_growth

IMAGES = Path(__file__).parents[2] / "docs" / "images"
# Okabe and Ito's colours, which colour-blind people tell apart, with a mark for each beside it.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "X")
GRID: dict[str, Any] = {"which": "major", "axis": "both", "color": "#dddddd", "linewidth": 0.6}
PANELS_A_ROW = 5


def main(
    files: Annotated[list[Path], typer.Argument(help="Runs of benchmarks.peers or of its growth.")],
    to: Annotated[Path, typer.Option(help="Folder for the images.")] = IMAGES,
) -> None:
    """Draw latency by class and engine and rates of indexing, or the curves of growth, one SVG each."""
    to.mkdir(parents=True, exist_ok=True)
    for file in files:
        for name, figure in figures(file):
            path = to / f"{file.stem}-{name}.svg"
            # Without a date and with fixed ids a plot of the same figures is the same file.
            figure.savefig(path, metadata={"Date": None})
            print(path)


def figures(file: Path) -> list[tuple[str, Any]]:
    """Names and figures. raises: ValueError   the file holds neither kind of run"""
    import matplotlib

    matplotlib.rcParams["svg.hashsalt"] = "quidditch"
    if "growth" in json.loads(file.read_text()):
        return [("latency", growth(load_growth(file)))]
    run = load(file)
    found: list[tuple[str, Any]] = []
    if run.queries:
        found.append(("latency", latency_bars(run)))
    if run.indexing:
        found.append(("indexing", indexing_bars(run)))
    return found


def latency_bars(run: Run) -> Any:
    """Mean milliseconds of every plain class: a bar for each engine, its p99 as a dash above."""
    from matplotlib.figure import Figure

    classes = [name for name in run.queries if run.asked[name].family == "plain"] or list(run.queries)
    measured = [own for name in classes for own in run.queries[name].values()]
    when = [each for each in ("cold", "warm") if any(getattr(own, each) for own in measured)]
    figure = Figure(figsize=(12, 1 + 3 * len(when)), layout="constrained")
    panels = figure.subplots(len(when), 1, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, each in zip(panels, when, strict=True):
        _bars(panel, run, classes, each)
        panel.set(yscale="log", ylabel=f"milliseconds a query, {each}")
        panel.grid(**GRID)
        panel.set_axisbelow(True)
    panels[-1].set_xticks(range(len(classes)), classes, rotation=20, ha="right")
    panels[0].set_title(f"{run.corpus['documents']:,} documents: bars are means, dashes the 99th percentile")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(COLORS))
    return figure


def _bars(panel: Any, run: Run, classes: Sequence[str], when: str) -> None:
    engines = _measured(run.queries[name] for name in classes)
    width = 0.85 / len(engines)
    for place, engine in enumerate(engines):
        found = [
            (spot, times)
            for spot, name in enumerate(classes)
            if (times := getattr(run.queries[name].get(engine), when, None))
        ]
        if not found:
            continue
        left = [spot + (place - (len(engines) - 1) / 2) * width for spot, _ in found]
        color = COLORS[place % len(COLORS)]
        panel.bar(left, [times.mean_ms for _, times in found], width, color=color, label=engine)
        p99 = [times.p99_ms for _, times in found]
        panel.scatter(left, p99, marker="_", color=color, s=30)


def indexing_bars(run: Run) -> Any:
    """Documents a second with one thread and with two, and the size on disk."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    rates, sizes = figure.subplots(1, 2)
    names = list(run.indexing)
    for shift, row, color, label in (
        (-0.2, run.indexing, COLORS[0], "one thread"),
        (0.2, run.two_threads, COLORS[1], "two"),
    ):
        found = [
            (names.index(name) + shift, own.documents_per_second)
            for name, own in row.items()
            if name in names
        ]
        if found:
            rates.bar(*zip(*found, strict=True), 0.4, color=color, label=label)
    rates.set(ylabel="documents a second", title="Indexing")
    rates.legend()
    sizes.bar(range(len(names)), [run.indexing[name].size_bytes / 1e6 for name in names], color=COLORS[0])
    sizes.set(ylabel="MB on disk", title="Size")
    for panel in (rates, sizes):
        panel.set_xticks(range(len(names)), names, rotation=20, ha="right")
        panel.grid(**GRID)
        panel.set_axisbelow(True)
    return figure


def growth(runs: Sequence[Run]) -> Any:
    """A panel for each class, both axes logarithmic; the grey line grows as the documents do."""
    from matplotlib.figure import Figure

    classes = list(runs[0].queries)
    across = min(PANELS_A_ROW, len(classes))
    down = -(-len(classes) // across)
    figure = Figure(figsize=(3 * across, 2.8 * down + 0.6), layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, name in zip(panels, classes, strict=False):
        _curves(panel, runs, name)
        panel.set(xscale="log", yscale="log", title=name)
        panel.grid(**GRID)
    for panel in panels[len(classes) :]:
        panel.set_visible(False)
    panels[0].legend(fontsize="small")
    figure.supxlabel("documents")
    figure.supylabel("milliseconds a query, warm mean")
    return figure


def _curves(panel: Any, runs: Sequence[Run], name: str) -> None:
    for place, engine in enumerate(_measured(run.queries[name] for run in runs)):
        points = [
            (int(run.corpus["documents"]), own.settled.mean_ms)
            for run in runs
            if (own := run.queries[name].get(engine))
        ]
        color, mark = COLORS[place % len(COLORS)], MARKS[place % len(MARKS)]
        panel.plot(*zip(*points, strict=True), marker=mark, color=color, label=engine)
        if engine == OURS:
            (first, low), (last, _) = points[0], points[-1]
            panel.plot(
                [first, last], [low, low * last / first], ":", color="#888888", label="as the documents"
            )


def _measured(rows: Iterable[dict[str, Latency] | Any]) -> list[str]:
    """The engines in any of the rows, in their order."""
    return list(dict.fromkeys(name for row in rows for name in row))


if __name__ == "__main__":
    typer.run(main)
