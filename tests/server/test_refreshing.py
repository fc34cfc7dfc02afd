"""An index whose `refresh_interval` was given is searched as it was at its last refresh; all others, as they are."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

import quidditch

from .asking import Server
from .processes import Start


def bulk(*lines: object) -> bytes:
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def count(server: Server, query: dict[str, Any] | None = None) -> int:
    body = None if query is None else {"query": query}
    found: int = server("POST", "/books/_count", body).json()["count"]
    return found


@pytest.fixture
def books(server: Server) -> Server:
    """An index that is refreshed by hand alone."""
    server("PUT", "/books", {"settings": {"refresh_interval": -1}})
    return server


def test_without_the_setting_a_write_is_seen_at_once(server: Server) -> None:
    server("PUT", "/books", {})
    server("PUT", "/books/_doc/1", {"n": 1})
    assert count(server) == 1


@pytest.mark.parametrize("interval", ["0", "0s"])
def test_an_interval_of_nothing_is_at_once(server: Server, interval: str) -> None:
    server("PUT", "/books", {"settings": {"refresh_interval": interval}})
    server("PUT", "/books/_doc/1", {"n": 1})
    assert count(server) == 1


def test_searches_see_what_was_there_at_the_last_refresh(books: Server) -> None:
    books("PUT", "/books/_doc/1?refresh=true", {"n": 1, "text": "old words"})
    books("PUT", "/books/_doc/2", {"n": 2})
    books("PUT", "/books/_doc/1", {"n": 1, "text": "new words"})
    assert count(books) == 1
    assert count(books, {"match": {"text": "old"}}) == 1
    assert count(books, {"match": {"text": "new"}}) == 0
    (hit,) = books("GET", "/books/_search?q=words").json()["hits"]["hits"]
    assert hit["_source"]["text"] == "old words"
    native = books("POST", "/_quidditch/indices/books/_search", {"query": {"match": {"text": "new"}}})
    assert native.json()["hits"]["total"]["value"] == 0
    explained = books("GET", "/books/_explain/1", {"query": {"match": {"text": "old"}}})
    assert explained.json()["matched"]
    assert books("GET", "/_cat/count/books?h=count").text == "1\n"
    books("POST", "/books/_refresh")
    assert count(books) == 2
    assert count(books, {"match": {"text": "old"}}) == 0


@pytest.mark.parametrize("refresh", ["true", "wait_for", ""])
def test_a_write_that_refreshes_shows_those_before_it_too(books: Server, refresh: str) -> None:
    books("PUT", "/books/_doc/1", {"n": 1})
    written = books("PUT", f"/books/_doc/2?refresh={refresh}", {"n": 2}).json()
    assert written.get("forced_refresh", False) is (refresh != "wait_for")
    assert count(books) == 2


def test_every_kind_of_write_waits(books: Server) -> None:
    first = bulk({"index": {"_id": "1"}}, {"n": 1}, {"create": {"_id": "2"}}, {"n": 2})
    books("POST", "/books/_bulk?refresh=true", content=first)
    books("POST", "/books/_bulk", content=bulk({"index": {"_id": "3"}}, {"n": 3}, {"delete": {"_id": "1"}}))
    books("POST", "/books/_update/2", {"doc": {"n": 20}})
    books("DELETE", "/books/_doc/2")
    assert count(books) == 2
    assert count(books, {"term": {"n": 2}}) == 1
    books("POST", "/books/_refresh")
    assert count(books, {"term": {"n": 3}}) == count(books) == 1


def test_documents_are_got_as_they_are_unless_they_shall_not(books: Server) -> None:
    books("PUT", "/books/_doc/1", {"n": 1})
    assert books("GET", "/books/_doc/1").json()["_source"] == {"n": 1}
    assert books("GET", "/books/_doc/1?realtime=false").status_code == 404
    assert books("GET", "/books/_source/1?realtime=false").status_code == 404
    (item,) = books("POST", "/books/_mget?realtime=false", {"ids": ["1"]}).json()["docs"]
    assert item["found"] is False
    shown = books("GET", "/books/_doc/1?realtime=false&refresh=true").json()
    assert (shown["found"], shown["_version"], shown["_seq_no"]) == (True, 1, 0)
    books("PUT", "/books/_doc/1", {"n": 2})
    shown = books("GET", "/books/_doc/1?realtime=false").json()
    assert (shown["_source"], shown["_version"], shown["_seq_no"]) == ({"n": 1}, 1, 0)


def test_writes_by_query_find_what_searches_find(books: Server) -> None:
    books("PUT", "/books/_doc/1?refresh=true", {"n": 1})
    books("PUT", "/books/_doc/2", {"n": 2})
    deleted = books("POST", "/books/_delete_by_query?refresh=true", {"query": {"match_all": {}}}).json()
    assert deleted["deleted"] == 1
    assert count(books) == 1


def test_what_was_changed_and_not_refreshed_is_a_conflict(books: Server) -> None:
    books("PUT", "/books/_doc/1?refresh=true", {"n": 1})
    books("PUT", "/books/_doc/1", {"n": 2})
    refused = books("POST", "/books/_delete_by_query", {"query": {"match_all": {}}})
    assert refused.status_code == 409


def test_a_copy_is_of_what_searches_find(books: Server) -> None:
    books("PUT", "/books/_doc/1?refresh=true", {"n": 1})
    books("PUT", "/books/_doc/2", {"n": 2})
    body = {"source": {"index": "books"}, "dest": {"index": "copy"}}
    assert books("POST", "/_reindex", body).json()["created"] == 1


def test_scrolls_and_points_in_time_begin_with_what_is_seen(books: Server) -> None:
    books("PUT", "/books/_doc/1?refresh=true", {"n": 1})
    books("PUT", "/books/_doc/2", {"n": 2})
    first = books("POST", "/books/_search?scroll=1m&size=1", {}).json()
    pit = books("POST", "/books/_search/point_in_time?keep_alive=1m").json()["pit_id"]
    books("POST", "/books/_refresh")
    assert count(books) == 2
    assert first["hits"]["total"]["value"] == 1
    following = books("POST", "/_search/scroll", {"scroll_id": first["_scroll_id"], "scroll": "1m"})
    assert following.json()["hits"]["hits"] == []
    assert books("POST", "/_search", {"pit": {"id": pit}}).json()["hits"]["total"]["value"] == 1


def test_an_alias_narrows_what_is_seen(books: Server) -> None:
    actions = [{"add": {"index": "books", "alias": "odd", "filter": {"term": {"n": 1}}}}]
    books("POST", "/_aliases", {"actions": actions})
    for id in ("1", "2"):
        books("PUT", f"/books/_doc/{id}?refresh=true", {"n": int(id)})
    books("PUT", "/books/_doc/3", {"n": 1})
    assert books("GET", "/odd/_count").json()["count"] == 1


def test_of_several_indices_each_is_seen_by_its_own_setting(books: Server) -> None:
    books("PUT", "/films/_doc/1", {"n": 1})
    books("PUT", "/books/_doc/1", {"n": 1})
    assert books("GET", "/books,films/_count").json()["count"] == 1
    found = books("GET", "/_search", {"sort": ["n"]}).json()["hits"]
    assert [hit["_index"] for hit in found["hits"]] == ["films"]


def test_a_change_of_the_setting_shows_everything(books: Server) -> None:
    books("PUT", "/books/_doc/1", {"n": 1})
    books("PUT", "/books/_settings", {"refresh_interval": None})
    assert count(books) == 1
    books("PUT", "/books/_doc/2", {"n": 2})
    assert count(books) == 2


def test_an_index_made_anew_begins_anew(books: Server) -> None:
    books("PUT", "/books/_doc/1", {"n": 1})
    books("DELETE", "/books")
    books("PUT", "/books/_doc/1", {"n": 1})
    assert count(books) == 1


def test_an_interval_ends(server: Server) -> None:
    server("PUT", "/books", {"settings": {"refresh_interval": "200ms"}})
    server("PUT", "/books/_doc/1", {"n": 1})
    deadline = time.monotonic() + 30
    while count(server) == 0:
        assert time.monotonic() < deadline, "the write was never seen"
        time.sleep(0.02)
    assert count(server) == 1


def test_all_workers_hold_and_refresh_together(serve: Start, tmp_path: Path) -> None:
    with quidditch.connect(tmp_path / "data") as database:
        database.create_index("books", settings={"refresh_interval": "-1"})
    served = serve(workers=2)

    def counts() -> set[int]:
        """What several connections, and so both workers, see."""
        found = set()
        for _ in range(12):
            with served.client() as client:
                found.add(client.get("/books/_count").json()["count"])
        return found

    with served.client() as client:
        client.put("/books/_doc/1", json={"n": 1}).raise_for_status()
        assert counts() == {0}
        client.post("/books/_refresh").raise_for_status()
        assert counts() == {1}
