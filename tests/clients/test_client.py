"""The client itself: what programs written for OpenSearch call every day."""

from __future__ import annotations

from datetime import date
from typing import Any

import opensearchpy
import pytest

MAPPINGS = {
    "properties": {
        "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        "year": {"type": "integer"},
        "published": {"type": "date"},
    }
}


@pytest.fixture
def books(client: opensearchpy.OpenSearch) -> opensearchpy.OpenSearch:
    """A client of a server with three books."""
    client.indices.create(index="books", body={"mappings": MAPPINGS})
    for id, title, year in (("1", "Dune", 1965), ("2", "Dune Messiah", 1969), ("3", "Emma", 1815)):
        body = {"title": title, "year": year, "published": date(year, 1, 1)}
        assert client.index(index="books", id=id, body=body)["result"] == "created"
    client.indices.refresh(index="books")
    return client


def ids(answer: dict[str, Any]) -> list[str]:
    return [hit["_id"] for hit in answer["hits"]["hits"]]


def test_it_takes_the_server_for_opensearch(client: opensearchpy.OpenSearch) -> None:
    assert client.ping()
    assert client.info()["version"]["distribution"] == "opensearch"
    assert client.cluster.health()["status"] == "green"


def test_documents_come_and_go(books: opensearchpy.OpenSearch) -> None:
    assert books.get(index="books", id="1")["_source"]["published"] == "1965-01-01"
    assert books.get_source(index="books", id="1", _source=["title"]) == {"title": "Dune"}
    assert books.exists(index="books", id="1")
    assert not books.exists(index="books", id="9")
    assert books.update(index="books", id="3", body={"doc": {"year": 1816}})["_version"] == 2
    made = books.update(index="books", id="4", body={"doc": {"title": "Persuasion"}, "doc_as_upsert": True})
    assert made["result"] == "created"
    assert [doc["found"] for doc in books.mget(index="books", body={"ids": ["4", "9"]})["docs"]] == [
        True,
        False,
    ]
    assert books.delete(index="books", id="4")["result"] == "deleted"


def test_what_fails_is_raised_by_its_kind(books: opensearchpy.OpenSearch) -> None:
    with pytest.raises(opensearchpy.NotFoundError):
        books.get(index="books", id="9")
    with pytest.raises(opensearchpy.NotFoundError, match="index_not_found_exception"):
        books.search(index="none")
    with pytest.raises(opensearchpy.ConflictError):
        books.create(index="books", id="1", body={"title": "again"})
    with pytest.raises(opensearchpy.ConflictError):
        books.index(index="books", id="1", body={}, if_seq_no=77, if_primary_term=1)
    with pytest.raises(opensearchpy.RequestError, match="resource_already_exists_exception"):
        books.indices.create(index="books")
    with pytest.raises(opensearchpy.RequestError, match="macth"):
        books.search(index="books", body={"query": {"macth": {"title": "dune"}}})
    assert books.delete(index="books", id="9", ignore=404)["result"] == "not_found"  # type: ignore[call-arg,unused-ignore]


def test_searches(books: opensearchpy.OpenSearch) -> None:
    found = books.search(index="books", body={"query": {"match": {"title": "dune"}}})
    assert ids(found) == ["1", "2"]
    assert found["hits"]["total"] == {"value": 2, "relation": "eq"}
    body = {
        "query": {"bool": {"filter": [{"range": {"year": {"gte": 1900}}}]}},
        "sort": [{"year": "desc"}],
        "highlight": {"fields": {"title": {}}},
    }
    assert ids(books.search(index="boo*", body=body, size=1)) == ["2"]
    after = {**body, "search_after": [1969]}
    assert ids(books.search(index="books", body=after)) == ["1"]
    assert books.count(index="books", body={"query": {"term": {"title.raw": "Dune"}}})["count"] == 1
    explained = books.explain(index="books", id="1", body={"query": {"match": {"title": "dune"}}})
    assert explained["matched"]
    many = books.msearch(
        index="books", body=[{}, {"query": {"match": {"title": "emma"}}}, {"index": "none"}, {"query": {}}]
    )
    assert ids(many["responses"][0]) == ["3"]
    assert many["responses"][1]["status"] == 404
    assert books.indices.validate_query(index="books", body={"query": {"match_all": {}}})["valid"]


def test_pages_of_a_moment(books: opensearchpy.OpenSearch) -> None:
    page = books.search(index="books", scroll="1m", size=2, sort="year:asc")
    assert ids(page) == ["3", "1"]
    books.delete(index="books", id="2", refresh=True)
    rest = books.scroll(body={"scroll_id": page["_scroll_id"], "scroll": "1m"})
    assert ids(rest) == ["2"]
    assert books.clear_scroll(scroll_id=page["_scroll_id"])["num_freed"] == 1
    with pytest.raises(opensearchpy.NotFoundError):
        books.scroll(scroll_id=page["_scroll_id"])
    pit = books.create_pit(index="books", params={"keep_alive": "1m"})["pit_id"]
    books.delete(index="books", id="1", refresh=True)
    assert sorted(ids(books.search(body={"pit": {"id": pit}}))) == ["1", "3"]
    assert books.delete_pit(body={"pit_id": [pit]})["pits"][0]["successful"]


def test_indices_and_aliases(books: opensearchpy.OpenSearch) -> None:
    assert books.indices.exists(index="books")
    assert books.indices.get_mapping(index="books")["books"]["mappings"] == MAPPINGS
    books.indices.put_mapping(index="books", body={"properties": {"isbn": {"type": "keyword"}}})
    assert "isbn" in books.indices.get(index="books")["books"]["mappings"]["properties"]
    books.indices.put_alias(index="books", name="novels")
    assert books.indices.get_alias(name="novels") == {"books": {"aliases": {"novels": {}}}}
    assert books.count(index="novels")["count"] == 3
    swap = [{"remove": {"index": "books", "alias": "novels"}}, {"add": {"index": "books", "alias": "prose"}}]
    books.indices.update_aliases(body={"actions": swap})
    assert books.indices.exists_alias(name="prose")
    assert not books.indices.exists_alias(name="novels")
    books.indices.put_settings(index="books", body={"refresh_interval": "5s"})
    settings = books.indices.get_settings(index="books")["books"]["settings"]["index"]
    assert settings["refresh_interval"] == "5s"
    tokens = books.indices.analyze(index="books", body={"field": "title", "text": "The Dunes"})["tokens"]
    assert [token["token"] for token in tokens] == ["the", "dunes"]
    assert books.indices.stats(index="books")["_all"]["primaries"]["docs"]["count"] == 3
    for action in (books.indices.flush, books.indices.forcemerge, books.indices.refresh):
        assert action(index="books")["_shards"]["failed"] == 0
    assert books.cat.indices(format="json")[0]["docs.count"] == "3"
    books.indices.delete(index="books")
    assert not books.indices.exists(index="books")


def test_writing_by_query(books: opensearchpy.OpenSearch) -> None:
    assert books.delete_by_query(index="books", body={"query": {"match": {"title": "dune"}}})["deleted"] == 2
    assert books.count(index="books")["count"] == 1
    copied = books.reindex(body={"source": {"index": "books"}, "dest": {"index": "copy"}}, refresh=True)
    assert copied["created"] == 1
    assert books.get(index="copy", id="3")["_source"]["title"] == "Emma"
