"""What operators see of a server: ids of requests, lines of its logs, numbers, probes."""

from __future__ import annotations

import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

import quidditch
from quidditch.errors import RequestError
from quidditch.server.runtime.board import BUCKETS_S, Board
from quidditch.server.runtime.logs import threshold_of
from quidditch.server.serving import Serving, serve_directory

from .asking import Server
from .processes import Start


def test_the_callers_id_is_echoed_and_every_request_has_its_own(server: Server) -> None:
    first = server("GET", "/", headers={"x-opaque-id": "job-7"})
    second = server("GET", "/nothing")
    assert first.headers["x-opaque-id"] == "job-7"
    assert "x-opaque-id" not in second.headers
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_probes_answer(server: Server) -> None:
    assert server("GET", "/_live").json() == {"status": "live"}
    assert server("GET", "/_ready").json() == {"status": "ready"}
    server.database.close()
    assert server("GET", "/_live").status_code == 200
    assert server("GET", "/_ready").status_code == 503


def test_requests_and_slow_searches_and_writes_are_lines_of_json(serve: Start) -> None:
    served = serve("--log-level", "info")
    settings = {
        "search.slowlog.threshold.query.warn": "0ms",
        "indexing.slowlog.threshold.index.info": "0ms",
    }
    with served.client(headers={"X-Opaque-Id": "job-7"}) as client:
        client.put("/books", json={"settings": {"index": settings}}).raise_for_status()
        client.put("/papers").raise_for_status()
        client.put("/books/_doc/1", json={"text": "words"}).raise_for_status()
        query: dict[str, Any] = {"query": {"match_all": {}}}
        asked = client.post("/books/_search", json=query)
        client.post("/papers/_search", json=query)
        assert served.metric("quidditch_search_slow_total") == {"": 1}
        assert served.metric("quidditch_indexing_slow_total")[""] >= 1
    assert served.stop() == 0
    lines = served.lines()
    slow = {line["message"].split(":")[0]: line for line in lines if line["logger"] == "quidditch.slow"}
    search = slow["slow search"]
    assert search["level"] == "WARNING"
    assert search["indices"] == "books"
    assert search["opaque_id"] == "job-7"
    assert search["request_id"] == asked.headers["x-request-id"]
    assert "match_all" in search["source"]
    assert slow["slow write"]["level"] == "INFO"
    (request,) = [
        line
        for line in lines
        if line["logger"] == "quidditch.requests" and line["request_id"] == search["request_id"]
    ]
    assert (request["method"], request["path"], request["status"]) == ("POST", "/books/_search", 200)


@pytest.mark.parametrize(
    ("text", "seconds"), [("2s", 2.0), ("1.5ms", 0.0015), ("-1", None), (None, None), ("soon", None)]
)
def test_thresholds_of_slow_logs(text: str | None, seconds: float | None) -> None:
    assert threshold_of(text) == seconds


def test_metrics_are_in_prometheus_format_and_each_family_is_described_once(server: Server) -> None:
    server("PUT", "/books/_doc/1", {"text": "words"})
    server("PUT", "/papers/_doc/1", {"text": "words"})
    server("GET", "/books/_search")
    server("POST", "/books/_refresh")
    text = server("GET", "/_metrics").text
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.]+(e[+-]?[0-9]+)?')
    families: list[str] = []
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            families.append(line.split()[2])
        elif not line.startswith("# HELP "):
            assert sample.fullmatch(line), line
            assert line.startswith(families[-1])
    assert len(families) == len(set(families))
    assert 'quidditch_index_documents{index="books"} 1' in text
    assert 'quidditch_indexing_writes_total{result="created"} 2' in text
    assert 'quidditch_http_requests_total{kind="search",status="2xx"} 1' in text
    assert "quidditch_refresh_total 1" in text
    assert "quidditch_lmdb_file_bytes" in text
    assert "quidditch_process_resident_bytes" in text


def test_a_histogram_counts_each_request_in_every_bucket_that_holds_it() -> None:
    board = Board(2)
    board.row(0).answered("search", 200, 0.003)
    board.row(1).answered("search", 200, 0.4)
    board.row(1).answered("search", 503, 100.0)
    family = "quidditch_http_request_seconds"

    def within(end: str) -> float:
        return board.total(f'{family}_bucket{{kind="search",le="{end}"}}')

    assert [within(end) for end in ("0.0025", "0.005", "0.25", "0.5", "10", "+Inf")] == [0, 1, 1, 2, 2, 3]
    assert len(BUCKETS_S) == 14
    assert board.total(f'{family}_count{{kind="search"}}') == 3
    assert board.total(f'{family}_sum{{kind="search"}}') == pytest.approx(100.403)
    assert board.total('quidditch_http_requests_total{kind="search",status="5xx"}') == 1


def test_a_port_that_is_taken_is_named(serve: Start, tmp_path: Path) -> None:
    served = serve()
    with pytest.raises(RequestError, match=f"cannot listen at 127.0.0.1:{served.port}: "):
        serve_directory(tmp_path / "other", Serving(port=served.port))
    assert served.stop() == 0


def test_a_second_signal_ends_a_server_that_drains(serve: Start, tmp_path: Path) -> None:
    served = serve(workers=2)
    with quidditch.connect(tmp_path / "data") as database:
        database.create_index("books")
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        # It drains for as long as this body takes.
        head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
        connection.sendall(f"POST /_bulk HTTP/1.1\r\n{head}".encode())
        time.sleep(0.3)
        served.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert served.process.poll() is None
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(10) != 0


def test_a_refresh_interval_that_is_none_is_refused(server: Server) -> None:
    refused = server("PUT", "/books", {"settings": {"index": {"refresh_interval": "often"}}})
    assert refused.status_code == 400
    assert "refresh_interval" in refused.json()["error"]["reason"]
    assert server("PUT", "/books/_doc/1?refresh=perhaps", {"text": "words"}).status_code == 400
