"""The client's helpers: bulks in all their forms, scans, copies; in turns and asynchronously."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import opensearchpy
import pytest
from opensearchpy import helpers

from .conftest import async_client

COUNT = 2_500


def actions(index: str = "numbers") -> Iterator[dict[str, Any]]:
    for number in range(COUNT):
        yield {"_index": index, "_id": str(number), "n": number, "text": f"number {number}"}


def test_bulk_does_all_kinds_of_actions(client: opensearchpy.OpenSearch) -> None:
    assert helpers.bulk(client, actions(), chunk_size=700, refresh=True) == (COUNT, [])
    assert client.count(index="numbers")["count"] == COUNT
    mixed = [
        {"_op_type": "update", "_index": "numbers", "_id": "1", "doc": {"n": -1}},
        {"_op_type": "delete", "_index": "numbers", "_id": "2"},
        {"_op_type": "create", "_index": "numbers", "n": 0},
    ]
    assert helpers.bulk(client, mixed, refresh="wait_for") == (3, [])
    assert client.get(index="numbers", id="1")["_source"]["n"] == -1
    assert client.count(index="numbers")["count"] == COUNT


def test_what_a_bulk_refuses_is_told_item_by_item(client: opensearchpy.OpenSearch) -> None:
    client.indices.create(index="numbers", body={"mappings": {"properties": {"n": {"type": "integer"}}}})
    documents = [{"_index": "numbers", "_id": str(place), "n": n} for place, n in enumerate((1, "x", 3))]
    with pytest.raises(helpers.BulkIndexError) as raised:
        helpers.bulk(client, documents)
    (error,) = raised.value.errors
    assert error["index"]["_id"] == "1"
    assert error["index"]["status"] == 400
    assert "[n]" in error["index"]["error"]["reason"]
    done, failed = helpers.bulk(client, documents, raise_on_error=False, refresh=True)
    assert (done, len(failed)) == (2, 1)
    missing = [{"_op_type": "delete", "_index": "numbers", "_id": "none"}]
    assert [ok for ok, _ in helpers.streaming_bulk(client, missing, raise_on_error=False)] == [False]


def test_streaming_bulk_answers_in_order(client: opensearchpy.OpenSearch) -> None:
    told = list(helpers.streaming_bulk(client, actions(), chunk_size=300, max_chunk_bytes=20_000))
    assert [item["index"]["_id"] for ok, item in told if ok] == [str(number) for number in range(COUNT)]


def test_parallel_bulk_writes_all(client: opensearchpy.OpenSearch) -> None:
    told = helpers.parallel_bulk(client, actions(), thread_count=4, chunk_size=100)
    assert sum(ok for ok, _ in told) == COUNT
    client.indices.refresh(index="numbers")
    assert client.count(index="numbers")["count"] == COUNT


def test_scan_sees_everything_once(client: opensearchpy.OpenSearch) -> None:
    helpers.bulk(client, actions(), refresh=True)
    seen = [hit["_source"]["n"] for hit in helpers.scan(client, index="numbers", size=400)]
    assert sorted(seen) == list(range(COUNT))
    query = {"query": {"range": {"n": {"lt": 10}}}, "sort": [{"n": "desc"}]}
    ordered = helpers.scan(client, query=query, index="numbers", size=3, preserve_order=True)
    assert [hit["_source"]["n"] for hit in ordered] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_reindex_copies(client: opensearchpy.OpenSearch) -> None:
    helpers.bulk(client, actions(), refresh=True)
    query = {"query": {"range": {"n": {"gte": 2_000}}}}
    assert helpers.reindex(client, "numbers", "copy", query=query) == (500, 0)
    client.indices.refresh(index="copy")
    assert client.count(index="copy")["count"] == 500
    assert client.get(index="copy", id="2400")["_source"] == {"n": 2400, "text": "number 2400"}


def test_the_asynchronous_client_does_the_same(url: str) -> None:
    async def work() -> None:
        async with async_client(url) as client:
            assert await client.ping()
            assert await helpers.async_bulk(client, actions(), chunk_size=500, refresh=True) == (COUNT, [])
            found = await asyncio.gather(
                *(client.search(index="numbers", body={"query": {"term": {"n": n}}}) for n in range(20))
            )
            assert [each["hits"]["hits"][0]["_id"] for each in found] == [str(n) for n in range(20)]
            seen = [
                hit["_source"]["n"] async for hit in helpers.async_scan(client, index="numbers", size=700)
            ]
            assert sorted(seen) == list(range(COUNT))
            streamed = helpers.async_streaming_bulk(client, actions("others"), chunk_size=900)
            assert sum([ok async for ok, _ in streamed]) == COUNT
            assert await helpers.async_reindex(client, "numbers", "copy") == (COUNT, 0)
            with pytest.raises(opensearchpy.NotFoundError):
                await client.get(index="numbers", id="none")

    asyncio.run(work())
