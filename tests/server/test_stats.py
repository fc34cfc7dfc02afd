"""`_stats` and `_nodes/stats` over HTTP."""

from __future__ import annotations

import pytest

from .asking import Server


@pytest.fixture
def busy(server: Server) -> Server:
    """Two indices, the first of which was written to, read and searched."""
    server("PUT", "/quiet")
    server("PUT", "/busy/_doc/1", {"a": 1})
    server("POST", "/busy/_update/1", {"doc": {"a": 2}})
    bad = [{"create": {"_id": "1"}}, {"a": 1}, {"delete": {"_id": "none"}}, {"index": {"_id": "2"}}, {"a": 3}]
    server("POST", "/busy/_bulk", bad)
    server("DELETE", "/busy/_doc/1")
    server("GET", "/busy/_doc/1")
    server("GET", "/busy/_doc/2")
    server("GET", "/busy/_search")
    server("GET", "/busy/_search?scroll=1m")
    server("POST", "/busy/_refresh")
    server("POST", "/busy/_flush")
    return server


def test_what_was_asked_of_an_index_is_counted(busy: Server) -> None:
    own = busy("GET", "/busy/_stats").json()["indices"]["busy"]["primaries"]
    assert own["docs"]["count"] == 1
    assert own["indexing"] == {"index_total": 3, "index_failed": 1, "delete_total": 2}
    assert own["get"] == {"total": 2, "exists_total": 1, "missing_total": 1}
    assert (own["search"]["query_total"], own["search"]["scroll_total"]) == (2, 1)
    assert (own["refresh"]["total"], own["flush"]["total"]) == (1, 1)
    assert busy("GET", "/quiet/_stats").json()["_all"]["primaries"]["indexing"]["index_total"] == 0
    node = next(iter(busy("GET", "/_nodes/stats").json()["nodes"].values()))
    assert node["indices"]["indexing"] == own["indexing"]
    chosen = next(iter(busy("GET", "/_nodes/stats/indices/get,store").json()["nodes"].values()))
    assert set(chosen["indices"]) == {"get", "store"}
    assert busy("GET", "/_nodes/stats/indices/nonsense").status_code == 400


def test_an_index_made_anew_begins_at_nothing(busy: Server) -> None:
    busy("DELETE", "/busy")
    busy("PUT", "/busy")
    own = busy("GET", "/busy/_stats/indexing").json()["_all"]["total"]
    assert own == {"indexing": {"index_total": 0, "index_failed": 0, "delete_total": 0}}


def test_levels_and_metrics(busy: Server) -> None:
    told = busy("GET", "/_stats/docs,search?level=shards").json()
    assert set(told["indices"]) == {"busy", "quiet"}
    assert set(told["_all"]["primaries"]) == {"docs", "search"}
    (shard,) = told["indices"]["busy"]["shards"]["0"]
    assert (shard["routing"]["state"], shard["docs"]["count"]) == ("STARTED", 1)
    assert "indices" not in busy("GET", "/_stats?level=cluster").json()
    assert busy("GET", "/_stats/nonsense").status_code == 400
    assert busy("GET", "/_stats?level=nonsense").status_code == 400


def test_a_closed_index(busy: Server) -> None:
    busy("POST", "/busy/_close")
    assert set(busy("GET", "/_stats").json()["indices"]) == {"quiet"}
    assert busy("GET", "/busy/_stats").status_code == 400
    shown = busy("GET", "/_stats?forbid_closed_indices=false").json()["indices"]
    assert set(shown) == {"busy", "quiet"}
    assert shown["busy"]["total"]["docs"]["count"] == 0
