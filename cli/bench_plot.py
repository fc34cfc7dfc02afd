"""The plot of `quidditch bench --plot`: how the time of searches is spread, and queries a second by how many ask."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .failures import CommandError

SUFFIXES = (".svg", ".png", ".pdf")
# Okabe and Ito's blue and orange, which colour-blind people tell apart too.
BLUE, ORANGE = "#0072B2", "#E69F00"


def check(file: Path) -> None:
    """Nothing when the plot can be drawn. raises: CommandError, before anything is measured"""
    if file.suffix.lower() not in SUFFIXES:
        raise CommandError(f"--plot {file}: the name must end with one of {', '.join(SUFFIXES)}")
    if not file.parent.is_dir():
        raise CommandError(f"--plot {file}: there is no directory {file.parent}")
    if importlib.util.find_spec("matplotlib") is None:
        raise CommandError('--plot needs matplotlib, which is not installed: pip install "quidditch[plot]"')


def draw(file: Path, found: Mapping[str, Any]) -> None:
    """Writes the plot. found: what `Bench.to_dict` gives"""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    spread, rates = figure.subplots(1, 2)
    buckets = found["histogram"]
    edges = [bucket["from_ms"] for bucket in buckets] + [buckets[-1]["to_ms"]]
    spread.stairs([bucket["searches"] for bucket in buckets], edges, fill=True, color=BLUE)
    spread.set(xscale="log", xlabel="milliseconds a search", ylabel="searches", title=found["index"])
    spread.xaxis.set_major_formatter("{x:g}")
    for label, mark, color in (("threads", "o-", BLUE), ("processes", "s--", ORANGE)):
        if found[label]:
            rates.plot(
                [int(count) for count in found[label]], found[label].values(), mark, color=color, label=label
            )
    rates.set(xlabel="asking at once", ylabel="queries a second")
    rates.set_ylim(bottom=0)
    rates.xaxis.get_major_locator().set_params(integer=True)
    rates.legend()
    figure.savefig(file)
