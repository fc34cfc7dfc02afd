"""Every folder beside this file is a case: `mapping.json`, `docs.jsonl`, `searches.json`.

A search names itself, a `query` (a clause, or a plain string) and the `ids` it finds, in order. Optional:
`any_order`, `at_least` (these come first, others may follow), `scores`, `sort`, `total`, and `source` with
the `sources` that it leaves. Adding a case needs no Python.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import quidditch
from quidditch.interface import Index

FOLDER = Path(__file__).parent
CASES = sorted(file.parent for file in FOLDER.glob("*/searches.json"))
LAYOUTS = ("one by one", "one segment", "many segments", "merged")


def searches() -> list[Any]:
    return [
        pytest.param(case.name, search, id=f"{case.name}: {search['name']}")
        for case in CASES
        for search in json.loads((case / "searches.json").read_text(encoding="utf-8"))
    ]


def documents(case: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (case / "docs.jsonl").read_text(encoding="utf-8").splitlines()]


def fill(index: Index, docs: list[dict[str, Any]], layout: str) -> None:
    if layout == "one by one":
        for doc in docs:
            index.add(doc)
        return
    done = index.add_many(docs, chunk=2 if layout == "many segments" else None)
    assert done.errors == []
    index.refresh()
    if layout == "merged":
        index.force_merge()


@pytest.fixture(scope="module", params=LAYOUTS)
def indices(request: pytest.FixtureRequest) -> Iterator[dict[str, Index]]:
    """Every case's index, laid out one way."""
    with quidditch.connect(":memory:") as database:
        found: dict[str, Index] = {}
        for case in CASES:
            mapping = json.loads((case / "mapping.json").read_text(encoding="utf-8"))
            found[case.name] = database.create_index(case.name, mappings=mapping)
            fill(found[case.name], documents(case), request.param)
        yield found


@pytest.mark.parametrize(("case", "search"), searches())
def test_case(indices: dict[str, Index], case: str, search: dict[str, Any]) -> None:
    result = indices[case].search(
        search["query"], size=100, sort=search.get("sort"), source=search.get("source", True)
    )
    ids, expected = [hit.id for hit in result], search["ids"]
    if search.get("any_order"):
        ids, expected = sorted(ids), sorted(expected)
    assert (ids[: len(expected)] if search.get("at_least") else ids) == expected
    if not search.get("at_least"):
        assert result.total == search.get("total", len(expected))
    if "scores" in search:
        assert [hit.score for hit in result] == search["scores"]
    if "sources" in search:
        assert [hit.source for hit in result] == search["sources"]
