"""The comparison as a plain test on made-up text: every engine that is here, and the report of a whole run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.corpora import Doc, grouped, synthetic
from benchmarks.peers import __main__ as peers
from benchmarks.peers import growth, plot
from benchmarks.peers import run as runs
from benchmarks.peers.engines import ENGINES
from benchmarks.peers.report import as_markdown, filled, print_run
from benchmarks.questions import query_classes, variants

DOCUMENTS = 400


@pytest.fixture(scope="module")
def documents() -> list[Doc]:
    return list(grouped(synthetic(DOCUMENTS, words=30, vocabulary=2000)))


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.filterwarnings("ignore")
def test_an_engine_finds_what_plain_loops_find(name: str, documents: list[Doc], tmp_path: Path) -> None:
    engine = ENGINES[name]
    if reason := engine.absence(DOCUMENTS):
        pytest.skip(reason)
    engine.build(documents, tmp_path / name, 1)
    searcher = engine.open(tmp_path / name)
    first = documents[0]["text"].split()
    for group in (None, "half"):
        inside = {doc["_id"] for doc in documents if group is None or group in doc["group"]}
        if group and "filter" in engine.lacks:
            continue
        own = {doc["_id"] for doc in documents if first[0] in doc["text"].split()} & inside
        assert set(searcher.search(searcher.prepare("or", first[:1], group), DOCUMENTS, False)) == own
        if "and" not in engine.lacks:
            both = {doc["_id"] for doc in documents if {*first[:2]} <= {*doc["text"].split()}} & inside
            found = searcher.search(
                searcher.prepare("and", first[:2], group), DOCUMENTS, "totals" not in engine.lacks
            )
            assert set(found) == both
        if "phrase" not in engine.lacks:
            phrase = " ".join(first[:3])
            exact = {doc["_id"] for doc in documents if f" {phrase} " in f" {doc['text']} "} & inside
            assert (
                set(searcher.search(searcher.prepare("phrase", first[:3], group), DOCUMENTS, False)) == exact
            )
    searcher.close()


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.filterwarnings("ignore")
def test_an_engine_sees_what_was_added(name: str, documents: list[Doc], tmp_path: Path) -> None:
    engine = ENGINES[name]
    if reason := engine.absence(DOCUMENTS) or engine.lacks.get("add"):
        pytest.skip(reason)
    engine.build(documents, tmp_path / name, 1)
    writer = engine.open_writer(tmp_path / name)
    writer.add({"_id": "late", "title": "late", "text": "a needle", "group": ["tenth"]})
    assert writer.search(writer.prepare("or", ["needle"], "tenth"), 10, False) == ["late"]
    writer.close()


def test_queries_are_many_and_different(documents: list[Doc]) -> None:
    for asked in query_classes(documents, 30):
        assert len({tuple(words) for words in asked.queries}) == len(asked.queries) == 30, asked.name
    names = [each.name for each in variants(query_classes(documents, 2))]
    assert len(set(names)) == len(names) == 28


def test_a_whole_run_is_saved_and_rendered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runs, "HISTORY", tmp_path / "history")
    peers.main(
        limit=300, engines="quidditch,whoosh", parts=",".join(peers.PARTS), classes="one word,plain,filters",
        queries=3, rounds=1, process_seconds=0.1, adds=2, work=tmp_path / "work", as_json=True, save="tiny",
    )  # fmt: skip
    printed = json.loads(capsys.readouterr().out)
    peers.main(
        engines="quidditch,fts5", parts="queries,opening,adding", classes="one word", queries=2, rounds=0,
        adds=1, work=tmp_path / "work", reuse=True, save="again",
    )  # fmt: skip
    assert "fts5 absent, so not measured: the earlier run left no index of it" in capsys.readouterr().out
    again = runs.load(tmp_path / "history" / "again.json")
    assert (again.corpus, again.engines) == (printed["corpus"], ["quidditch"])
    assert "add one, then search" in "\n".join(as_markdown(again))
    run = runs.load(tmp_path / "history" / "tiny.json")
    assert printed["queries"].keys() == run.queries.keys() == {
        "one word", "one word, 50% of documents", "one word, 10% of documents",
        "one word, 1% of documents", "one word, 0.1% of documents",
    }  # fmt: skip
    assert run.queries["one word"]["quidditch"].different == 3
    assert run.adding["quidditch"].adds == 2
    text = "\n".join(as_markdown(run))
    for title in ("Indexing with one thread", "Two processes on one index", "Add one document", "Targets"):
        assert f"### {title}" in text
    if run.versions["whoosh"] is None:
        assert "whoosh absent, so not measured: not installed: pip install whoosh-reloaded" in text
    console = Console(record=True, width=200)
    print_run(run, console)
    assert "Top 10 of a part of the documents" in console.export_text()


@pytest.mark.parametrize("file", sorted(runs.HISTORY.glob("*.json")), ids=lambda file: file.stem)
def test_every_run_of_the_history_is_rendered(file: Path) -> None:
    if "queries" not in json.loads(file.read_text()):
        pytest.skip("of another benchmark")
    assert "### Top 10, milliseconds a query" in "\n".join(as_markdown(runs.load(file)))


@pytest.mark.filterwarnings("ignore")
def test_growth_is_measured_saved_and_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "HISTORY", tmp_path)
    growth.main(sizes="100,300", engines="quidditch", queries=2, rounds=1, work=tmp_path, save="grown")
    measured = runs.load_growth(tmp_path / "grown.json")
    assert [run.corpus["documents"] for run in measured] == [100, 300]
    assert {row[1] for row in growth.rows(measured)} == {"quidditch"}
    assert len(list(growth.rows(measured))) == len(measured[0].queries) == 10
    pytest.importorskip("matplotlib")
    plot.main([tmp_path / "grown.json", runs.HISTORY / "2026-11-23-arxiv-580k.json"], tmp_path / "images")
    drawn = {file.name: file.read_text() for file in (tmp_path / "images").iterdir()}
    assert drawn.keys() == {
        "grown-latency.svg", "2026-11-23-arxiv-580k-latency.svg", "2026-11-23-arxiv-580k-indexing.svg",
    }  # fmt: skip
    assert all("<svg" in text for text in drawn.values())


def test_a_page_is_filled_between_its_marks() -> None:
    page = "# Title\n<!-- tables -->\nold\n<!-- end of tables -->\nrest\n"
    once = filled(page, "tables", "new")
    assert once == "# Title\n<!-- tables -->\n\nnew\n\n<!-- end of tables -->\nrest\n"
    assert filled(once, "tables", "new") == once
    with pytest.raises(ValueError, match="once each"):
        filled("# Title\n", "tables", "new")
