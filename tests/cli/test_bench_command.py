"""`quidditch bench`: what it measures and prints, and what it says about files that are not right."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import command_line
import numpy as np
import pytest
from command_line import Run
from quidditch_cli import bench as measuring
from quidditch_cli import bench_plot, load

run, books = command_line.run, command_line.books

QUERIES = """\
planet

{"match": {"title": "dune"}}
{"query": {"match_all": {}}, "size": 1}
nowhere
"""


@pytest.fixture
def asked(books: Run) -> Run:
    """Like `books`, with four queries in the file `queries.txt`."""
    Path("queries.txt").write_text(QUERIES)
    return books


def bench(run: Run, *words: str, code: int = 0) -> Any:
    return run("bench", "shelf", "books", "--queries", "queries.txt", *words, code=code)


def test_json_has_everything(asked: Run) -> None:
    found = bench(asked, "--rounds", "2", "--threads", "3", "--json").json
    assert (found["index"], found["documents"], found["size"], found["rounds"]) == ("books", 3, 10, 2)
    assert [(one["line"], one["hits"]) for one in found["queries"]] == [(1, 2), (3, 1), (4, 3), (5, 0)]
    assert found["no_hits"] == [5]
    assert found["errors"] == []
    assert (found["first"]["searches"], found["warm"]["searches"]) == (4, 8)
    assert sum(bucket["searches"] for bucket in found["histogram"]) == 8
    assert found["threads"].keys() == {"1", "2", "3"}
    assert found["processes"] == {}
    assert all(one["first_ms"] > 0 and one["warm_ms"] > 0 for one in found["queries"])


def test_people_see_a_table_a_histogram_and_the_queries_without_hits(asked: Run) -> None:
    lines = bench(asked, "--size", "2").out.splitlines()
    assert lines[0] == "books: 3 documents, 4 queries, top 2"
    assert lines[1].split() == ["milliseconds", "searches", "mean", "p50", "p90", "p99", "max"]
    assert lines[2].startswith("the first time")
    assert lines[3].split()[:2] == ["again", "12"]
    assert lines[4].split() == ["from", "ms", "to", "ms", "searches"]
    bars = lines[5 : 5 + measuring.BUCKETS]
    assert sum(int(line.split()[2]) for line in bars) == 12
    assert max(line.count("█") for line in bars) == measuring.BAR_CELLS
    assert "threads" in lines[-2]
    assert lines[-1] == "no hits: line 5"


def test_processes_are_counted_from_one_on(asked: Run) -> None:
    found = bench(asked, "--processes", "2", "--rounds", "1", "--json").json
    assert found["processes"].keys() == {"1", "2"}
    assert all(rate > 0 for rate in found["processes"].values())


def test_a_refused_query_is_named_and_the_rest_measured(asked: Run) -> None:
    Path("queries.txt").write_text('planet\n{"mtach": {"title": "dune"}}\n')
    shown = bench(asked, "--processes", "2", code=1)
    assert shown.err.startswith("line 2: ")
    assert "mtach" in shown.err
    assert "1 query, top 10" in shown.out
    found = bench(asked, "--json", code=1).json
    assert found["errors"] == [2]
    assert found["queries"][1]["first_ms"] is None
    assert found["warm"]["searches"] == 3
    Path("queries.txt").write_text('{"mtach": {"title": "dune"}}\n')
    assert "refuses every query; line 1: " in bench(asked, code=1).err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "queries.txt: the file is empty"),
        (b"\n  \n", "queries.txt: the file is empty"),
        (b'dune\n\n{"match": \n', "queries.txt:3: "),
        (b"dune\n\xff\n", "queries.txt: not UTF-8 at byte 5"),
    ],
)
def test_a_file_that_is_not_right_is_refused_by_name(asked: Run, content: bytes, said: str) -> None:
    Path("queries.txt").write_bytes(content)
    assert said in bench(asked, code=1).err


def test_what_is_not_there_is_refused_by_name(asked: Run) -> None:
    words = ("bench", "shelf", "books", "--queries")
    assert "--queries none.txt: cannot be read (No such file" in asked(*words, "none.txt", code=1).err
    assert "did you mean 'books'" in asked("bench", "shelf", "boks", "--queries", "queries.txt", code=1).err
    assert "there is no directory" in asked("bench", "elf", "books", "--queries", "queries.txt", code=1).err
    far = asked("bench", "http://localhost:9200", "books", "--queries", "queries.txt", code=1).err
    assert "http://localhost:9200 is none" in far


def test_a_plot_that_cannot_be_drawn_is_refused_before_measuring(
    asked: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "ask", lambda *_: pytest.fail("measured"))
    assert "must end with one of .svg" in bench(asked, "--plot", "plot.txt", code=1).err
    assert "there is no directory" in bench(asked, "--plot", "none/plot.svg", code=1).err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert 'pip install "quidditch[plot]"' in bench(asked, "--plot", "plot.svg", code=1).err


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed")
@pytest.mark.filterwarnings("ignore")
def test_the_plot_shows_times_and_rates(asked: Run) -> None:
    bench(asked, "--threads", "2", "--plot", "plot.svg")
    assert "<svg" in Path("plot.svg").read_text()
    assert bench_plot.SUFFIXES[0] == ".svg"


def test_a_histogram_holds_every_search_even_when_all_are_alike() -> None:
    for times in ([2.0] * 5, [1.0, 10.0, 100.0], [0.3]):
        buckets = measuring.histogram(np.array(times))
        assert sum(bucket.searches for bucket in buckets) == len(times)
        assert buckets[0].from_ms <= min(times)
        assert buckets[-1].to_ms >= max(times)
    latency = measuring.latency(np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert (latency.searches, latency.mean_ms, latency.p50_ms, latency.max_ms) == (4, 2.5, 2.5, 4.0)


def test_a_whole_request_keeps_its_size(books: Run) -> None:
    import quidditch

    with quidditch.connect("shelf", create=False) as db:
        body = load.Line(1, {"query": {"match_all": {}}, "size": 1})
        assert len(load.ask(db, "books", body, 10)) == 1
        assert len(load.ask(db, "books", load.Line(2, {"match_all": {}}), 2)) == 2
