"""Results as tables: in a notebook, and of libraries that may be there or not."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

import quidditch
from quidditch import MissingLibrary, SearchResult


@pytest.fixture
def result() -> Iterator[SearchResult]:
    with quidditch.connect(":memory:") as database:
        index = database.create_index("books")
        index.add({"title": "<b>Dune</b>", "year": 1965}, id="1")
        index.add({"title": "Dune Messiah", "seen": True}, id="2")
        yield index.search("dune")


def test_a_notebook_shows_a_table_and_runs_no_markup(result: SearchResult) -> None:
    shown = result._repr_html_()
    assert "2 of 2 hits" in shown
    assert "&lt;b&gt;Dune&lt;/b&gt;" in shown
    assert "<b>" not in shown


@pytest.mark.parametrize("library", ["pyarrow", "polars", "pandas"])
def test_frames_hold_every_column(result: SearchResult, library: str) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed")
    frame = {"pyarrow": result.to_arrow, "polars": result.to_polars, "pandas": result.to_pandas}[library]()
    columns = frame.column_names if library == "pyarrow" else list(frame.columns)
    assert set(columns) == {"_id", "_score", "title", "year", "seen"}
    assert len(frame) == 2


@pytest.mark.parametrize("library", ["pyarrow", "polars", "pandas"])
def test_an_absent_library_is_one_sentence(
    result: SearchResult, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    frame = {"pyarrow": result.to_arrow, "polars": result.to_polars, "pandas": result.to_pandas}[library]
    with pytest.raises(MissingLibrary, match=f"pip install {library}"):
        frame()
