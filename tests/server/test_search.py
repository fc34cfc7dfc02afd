"""Searches over HTTP."""

from __future__ import annotations

import pytest

from .asking import Server, lines


@pytest.fixture
def numbers(server: Server) -> Server:
    """25 documents in two indices, `n` from 0 to 24."""
    actions = [
        line
        for number in range(25)
        for line in (
            {"index": {"_index": f"numbers-{number % 2}", "_id": str(number)}},
            {"n": number, "text": "even" if number % 2 == 0 else "odd"},
        )
    ]
    assert server("POST", "/_bulk", actions).json()["errors"] is False
    return server


def test_body_and_query_string(numbers: Server) -> None:
    body = {"query": {"range": {"n": {"gte": 20}}}, "sort": [{"n": "desc"}], "size": 3}
    hits = numbers("POST", "/numbers-*/_search", body).json()["hits"]
    assert [hit["_source"]["n"] for hit in hits["hits"]] == [24, 23, 22]
    assert hits["total"] == {"value": 5, "relation": "eq"}
    narrowed = numbers("POST", "/numbers-*/_search?size=1&sort=n:asc&_source=text", body).json()["hits"][
        "hits"
    ]
    assert [(hit["_id"], hit["_source"]) for hit in narrowed] == [("20", {"text": "even"})]


def test_totals(numbers: Server) -> None:
    assert numbers("GET", "/numbers-*/_search?rest_total_hits_as_int=true").json()["hits"]["total"] == 25
    capped = numbers("GET", "/numbers-*/_search?track_total_hits=7").json()["hits"]["total"]
    assert capped == {"value": 7, "relation": "gte"}
    assert "total" not in numbers("GET", "/numbers-*/_search?track_total_hits=false").json()["hits"]


def test_a_query_that_is_wrong_is_explained(numbers: Server) -> None:
    refused = numbers("POST", "/_search", {"query": {"mtch": {"text": "x"}}})
    assert refused.status_code == 400
    assert "[match]" in refused.json()["error"]["reason"]
    assert numbers("POST", "/_count", {"match": {}}).status_code == 400


@pytest.mark.parametrize("sort", [None, [{"n": "desc"}], ["_doc"]])
def test_a_scroll_gives_everything_once_whatever_is_written_meanwhile(numbers: Server, sort: object) -> None:
    body = {"size": 4, "query": {"match_all": {}}, **({"sort": sort} if sort else {})}
    page = numbers("POST", "/numbers-*/_search?scroll=1m", body).json()
    assert page["hits"]["total"]["value"] == 25
    seen: list[int] = []
    while page["hits"]["hits"]:
        seen += [hit["_source"]["n"] for hit in page["hits"]["hits"]]
        numbers("PUT", f"/numbers-0/_doc/new-{len(seen)}", {"n": 1_000})
        numbers("DELETE", f"/numbers-0/_doc/{len(seen)}")
        page = numbers("POST", "/_search/scroll", {"scroll": "1m", "scroll_id": page["_scroll_id"]}).json()
    assert sorted(seen) == list(range(25))
    if sort == [{"n": "desc"}]:
        assert seen == list(reversed(range(25)))
    cleared = numbers("DELETE", "/_search/scroll", {"scroll_id": page["_scroll_id"]})
    assert cleared.json() == {"succeeded": True, "num_freed": 1}
    gone = numbers("POST", "/_search/scroll", {"scroll_id": page["_scroll_id"]})
    assert gone.status_code == 404
    assert gone.json()["error"]["type"] == "search_context_missing_exception"


def test_a_point_in_time_stays_as_it_was(numbers: Server) -> None:
    made = numbers("POST", "/numbers-0/_search/point_in_time?keep_alive=1m").json()
    numbers("PUT", "/numbers-0/_doc/new", {"n": 1_000})
    found = numbers("POST", "/_search", {"pit": {"id": made["pit_id"]}, "size": 0}).json()
    assert found["hits"]["total"]["value"] == 13
    assert numbers("GET", "/numbers-0/_count").json()["count"] == 14
    assert len(numbers("GET", "/_search/point_in_time/_all").json()["pits"]) == 1
    ended = numbers("DELETE", "/_search/point_in_time", {"pit_id": [made["pit_id"]]}).json()
    assert ended["pits"][0]["successful"] is True


def test_msearch_answers_each(numbers: Server) -> None:
    body = lines(
        [
            {"index": "numbers-0"},
            {"size": 0},
            {"index": "none"},
            {"size": 0},
            {},
            {"query": {"nonsense": {}}},
        ]
    )
    answers = numbers("POST", "/numbers-1/_msearch", content=body).json()["responses"]
    assert answers[0]["hits"]["total"]["value"] == 13
    assert [answer["status"] for answer in answers] == [200, 404, 400]


def test_explain_and_validate(numbers: Server) -> None:
    query = {"query": {"match": {"text": "even"}}}
    told = numbers("POST", "/numbers-0/_explain/2", query).json()
    assert told["matched"] is True
    assert told["explanation"]["value"] > 0
    assert numbers("POST", "/numbers-1/_explain/1", query).json()["matched"] is False
    assert numbers("POST", "/numbers-0/_validate/query", query).json()["valid"] is True
    wrong = numbers("POST", "/numbers-0/_validate/query?explain=true", {"query": {"mtch": {}}}).json()
    assert wrong["valid"] is False
    assert "mtch" in wrong["explanations"][0]["error"]


def test_analyze(numbers: Server) -> None:
    tokens = numbers("POST", "/_analyze", {"text": ["The Dunes", "of"], "analyzer": "english"}).json()[
        "tokens"
    ]
    assert [(token["token"], token["position"]) for token in tokens] == [("dune", 1)]
    assert numbers("POST", "/_analyze", {"text": "x", "analyzer": "klingon"}).status_code == 400


def test_field_caps(numbers: Server) -> None:
    numbers("PUT", "/other", {"mappings": {"properties": {"n": {"type": "keyword"}}}})
    fields = numbers("GET", "/_field_caps?fields=n").json()["fields"]["n"]
    assert set(fields) == {"long", "keyword"}
    assert fields["keyword"]["indices"] == ["other"]
