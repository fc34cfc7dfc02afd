"""Errors of a search where OpenSearch has them: at the top, or of the shards that found them."""

from __future__ import annotations

from typing import Any

import pytest

from .asking import Server, lines

MAPPING = {
    "properties": {
        "title": {"type": "text"},
        "year": {"type": "integer"},
        "born": {"type": "date"},
    }
}


@pytest.fixture
def books(server: Server) -> Server:
    server("PUT", "/books", {"mappings": MAPPING})
    server("PUT", "/books/_doc/1", {"title": "Dune", "year": 1965, "born": "1965-08-01"})
    server("PUT", "/films/_doc/1", {"name": "Dune", "year": 1984})
    return server


@pytest.mark.parametrize(
    "body",
    [
        {"query": {"mtch": {"title": "x"}}},
        {"query": {"match": {"title": {"query": "x", "opertor": "and"}}}},
        {"query": {"bool": {"mst": []}}},
        {"query": {"match": {}}},
        {"sort": [{"year": {"ordr": "asc"}}]},
        {"qurey": {"match_all": {}}},
    ],
)
@pytest.mark.parametrize("path", ["/books/_search", "/books,films/_search", "/books/_search?scroll=1m"])
def test_what_is_malformed_is_refused_before_any_shard(books: Server, path: str, body: Any) -> None:
    refused = books("POST", path, body)
    error = refused.json()["error"]
    assert (refused.status_code, error["type"]) == (400, "parsing_exception")
    assert error["root_cause"] == [{"type": "parsing_exception", "reason": error["reason"]}]
    assert "failed_shards" not in error


FOUND_BY_A_SHARD = [
    ({"query": {"term": {"year": "soon"}}}, "query_shard_exception", "soon"),
    (
        {"query": {"match": {"title": {"query": "x", "analyzer": "englsh"}}}},
        "query_shard_exception",
        "englsh",
    ),
    ({"query": {"match_phrase": {"year": "a b"}}}, "query_shard_exception", "year"),
    ({"query": {"range": {"born": {"gte": "someday"}}}}, "parse_exception", "someday"),
    ({"sort": ["nowhere"]}, "query_shard_exception", "nowhere"),
    ({"sort": ["title"]}, "illegal_argument_exception", "title"),
    ({"from": 10_001}, "illegal_argument_exception", "10011"),
]


@pytest.mark.parametrize(("body", "kind", "word"), FOUND_BY_A_SHARD)
def test_what_a_mapping_or_a_setting_refuses_fails_in_the_shards(
    books: Server, body: dict[str, Any], kind: str, word: str
) -> None:
    pit = books("POST", "/books/_search/point_in_time?keep_alive=1m").json()["pit_id"]
    scroll = {("size" if key == "from" else key): value for key, value in body.items()}
    for path, asked in (
        ("/books/_search", body),
        ("/books/_search?scroll=1m", scroll),
        ("/_search", {**body, "pit": {"id": pit}}),
    ):
        refused = books("POST", path, asked)
        error = refused.json()["error"]
        assert (refused.status_code, error["type"]) == (400, "search_phase_execution_exception")
        assert (error["reason"], error["phase"], error["grouped"]) == ("all shards failed", "query", True)
        (cause,), (shard,) = error["root_cause"], error["failed_shards"]
        assert cause["type"] == kind
        assert word in cause["reason"] or "size" in asked
        assert (shard["shard"], shard["index"], shard["reason"]) == (0, "books", cause)
        assert ("index_uuid" in cause) is (kind == "query_shard_exception")
        # Only what is none of OpenSearch's own exceptions is told once more.
        assert ("caused_by" in error) is (kind == "illegal_argument_exception")


def test_a_field_that_is_not_mapped_matches_nothing(books: Server) -> None:
    assert (
        books("POST", "/books/_search", {"query": {"match": {"nowhere": "x"}}}).json()["hits"]["hits"] == []
    )


def test_too_many_clauses_fail_in_the_shards(books: Server) -> None:
    many = [{"term": {"title": f"word{number}"}} for number in range(100_000)]
    error = books("POST", "/books/_search", {"query": {"bool": {"should": many}}}).json()["error"]
    assert error["type"] == "search_phase_execution_exception"
    assert error["root_cause"][0]["type"] == "too_many_clauses"


def test_counts_fail_in_the_shards_too(books: Server) -> None:
    error = books("POST", "/books/_count", {"query": {"term": {"year": "soon"}}}).json()["error"]
    assert error["failed_shards"][0]["reason"]["type"] == "query_shard_exception"


def test_one_search_of_several_fails_alone(books: Server) -> None:
    asked = lines([{"index": "books"}, {"sort": ["nowhere"]}, {"index": "books"}, {}])
    failed, answered = books("POST", "/_msearch", content=asked).json()["responses"]
    assert (failed["status"], failed["error"]["reason"]) == (400, "all shards failed")
    assert answered["hits"]["total"]["value"] == 1


@pytest.mark.parametrize(("body", "kind", "word"), FOUND_BY_A_SHARD[:-1])
def test_indices_that_can_answer_do(books: Server, body: dict[str, Any], kind: str, word: str) -> None:
    """`films` has no `born`, and a `year` that is a number, too."""
    found = books("POST", "/books,films/_search", body)
    other = books("POST", "/films/_search", body)
    if other.status_code == 400:
        error = found.json()["error"]
        assert [shard["index"] for shard in error["failed_shards"]] == ["books", "films"]
        assert len(error["root_cause"]) == 2
        return
    shards = found.json()["_shards"]
    assert (shards["total"], shards["successful"], shards["failed"]) == (2, 1, 1)
    (failure,) = shards["failures"]
    assert (failure["index"], failure["reason"]["type"]) == ("books", kind)
    assert word in failure["reason"]["reason"]
    assert found.json()["hits"] == other.json()["hits"]


def test_all_or_nothing_where_that_is_asked_for(books: Server) -> None:
    body = {"query": {"range": {"born": {"gte": "someday"}}}}
    assert books("POST", "/books,films/_search", body).json()["_shards"]["failed"] == 1
    refused = books("POST", "/books,films/_search?allow_partial_search_results=false", body).json()["error"]
    assert refused["reason"] == "Partial shards failure"
    assert [shard["index"] for shard in refused["failed_shards"]] == ["books"]
    # Of an alias no part can be left out: its filter would be, too.
    books("POST", "/_aliases", {"actions": [{"add": {"indices": ["books", "films"], "alias": "both"}}]})
    assert books("POST", "/both/_search", body).status_code == 400
