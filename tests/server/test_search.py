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


def test_a_line_of_words_is_a_query(numbers: Server) -> None:
    def found(line: str) -> list[int]:
        hits = numbers("GET", f"/numbers-*/_search?size=30&sort=n&{line}").json()["hits"]["hits"]
        return [hit["_source"]["n"] for hit in hits]

    assert found("q=n:[20 TO *] AND text:even") == [20, 22, 24]
    assert found("q=even&df=text") == list(range(0, 25, 2))
    assert found("q=n:abc&lenient=true") == []
    assert numbers("GET", "/numbers-*/_search?q=n:abc").status_code == 400
    assert numbers("GET", "/numbers-*/_search?q=(even").status_code == 400
    both = "/numbers-*/_count?q=even odd&df=text"
    assert numbers("GET", both).json()["count"] == 25
    assert numbers("GET", f"{both}&default_operator=AND").json()["count"] == 0


def test_versions_and_fields_of_hits(numbers: Server) -> None:
    numbers("PUT", "/numbers-0/_doc/4", {"n": 4, "text": "even"})
    path = "/numbers-0/_search?q=_id:4&version=true&seq_no_primary_term=true&docvalue_fields=n"
    (hit,) = numbers("GET", path).json()["hits"]["hits"]
    assert (hit["_version"], hit["_primary_term"], hit["fields"]) == (2, 1, {"n": [4]})
    got = numbers("GET", "/numbers-0/_doc/4").json()
    assert hit["_seq_no"] == got["_seq_no"]
    refused = numbers("POST", "/numbers-0/_search", {"stored_fields": 5})
    assert refused.status_code == 400
    assert "[stored_fields]: a name or a list of names expected" in refused.json()["error"]["reason"]
    (bare,) = numbers("GET", "/numbers-0/_search?q=_id:4&stored_fields=_none_").json()["hits"]["hits"]
    assert not {"_id", "_source", "_version", "_seq_no"} & bare.keys()


def test_dispatch_parameters_are_checked(numbers: Server) -> None:
    for name, value in (
        ("batched_reduce_size", 1),
        ("pre_filter_shard_size", 0),
        ("max_concurrent_shard_requests", 0),
        ("search_type", "fast"),
        ("track_total_hits", -2),
        ("from", -1),
        ("terminate_after", -1),
    ):
        refused = numbers("GET", f"/numbers-*/_search?{name}={value}")
        assert refused.status_code == 400, name
        assert name.split("_")[0] in refused.json()["error"]["reason"].lower(), name
    taken = "batched_reduce_size=2&pre_filter_shard_size=1&max_concurrent_shard_requests=5"
    assert numbers("GET", f"/numbers-*/_search?{taken}&search_type=dfs_query_then_fetch").status_code == 200


@pytest.mark.parametrize(
    "key", ["collapse", "rescore", "suggest", "indices_boost", "profile", "script_fields"]
)
def test_what_would_change_the_answer_is_refused_by_name(numbers: Server, key: str) -> None:
    refused = numbers("POST", "/numbers-*/_search", {key: {"field": "n"}})
    assert refused.status_code == 400
    assert key in refused.json()["error"]["reason"]
    assert numbers("POST", "/numbers-*/_search", {key: None}).status_code == 200


def test_a_window_that_is_too_large_fails_in_the_shards_and_names_them(numbers: Server) -> None:
    refused = numbers("GET", "/numbers-*/_search?from=9999")
    assert refused.status_code == 400
    error = refused.json()["error"]
    assert error["type"] == "search_phase_execution_exception"
    assert [shard["index"] for shard in error["failed_shards"]] == ["numbers-0", "numbers-1"]
    assert "[10009]" in error["root_cause"][0]["reason"]
    assert error["root_cause"][0]["type"] == "illegal_argument_exception"
    bad = numbers("PUT", "/numbers-0/_settings", {"index": {"max_result_window": "many"}})
    assert "max_result_window: a whole number expected" in bad.json()["error"]["reason"]
    numbers("PUT", "/numbers-0/_settings", {"index": {"max_result_window": 20_000}})
    assert numbers("GET", "/numbers-0/_search?from=9999").status_code == 200
    scroll = numbers("GET", "/numbers-1/_search?scroll=1m&size=10001")
    assert "Batch size" in scroll.json()["error"]["root_cause"][0]["reason"]
    numbers("PUT", "/numbers-0/_settings", {"index": {"max_docvalue_fields_search": 1}})
    assert numbers("GET", "/numbers-0/_search?docvalue_fields=n,m").status_code == 400


def test_terminate_after(numbers: Server) -> None:
    cut = numbers("GET", "/numbers-0/_search?terminate_after=3").json()
    assert (cut["terminated_early"], cut["hits"]["total"]["value"], len(cut["hits"]["hits"])) == (True, 3, 3)
    assert numbers("POST", "/numbers-0/_search", {"terminate_after": 50}).json()["terminated_early"] is False
    assert numbers("GET", "/numbers-0/_count?terminate_after=3").json()["count"] == 3


def test_min_score(numbers: Server) -> None:
    query = {"query": {"constant_score": {"filter": {"match": {"text": "even"}}, "boost": 2}}}
    assert numbers("POST", "/numbers-0/_count?min_score=1.5", query).json()["count"] == 13
    assert numbers("POST", "/numbers-0/_count?min_score=2.5", query).json()["count"] == 0
    found = numbers("POST", "/numbers-0/_search", {**query, "min_score": 2.5}).json()["hits"]["total"]
    assert found["value"] == 0


def test_the_slices_of_a_scroll_are_everything_once(numbers: Server) -> None:
    seen: list[list[str]] = []
    for number in range(3):
        body = {"slice": {"id": number, "max": 3}, "size": 2}
        page = numbers("POST", "/numbers-*/_search?scroll=1m", body).json()
        own: list[str] = []
        while page["hits"]["hits"]:
            own += [hit["_id"] for hit in page["hits"]["hits"]]
            page = numbers("POST", "/_search/scroll", {"scroll_id": page["_scroll_id"]}).json()
        assert page["hits"]["total"]["value"] == len(own)
        seen.append(own)
    assert all(seen)
    assert sorted(id for own in seen for id in own) == sorted(map(str, range(25)))


@pytest.mark.parametrize(
    "slice", [{"id": 3, "max": 3}, {"id": 0, "max": 1}, {"id": 0}, {"id": 0, "max": 1025}]
)
def test_a_slice_that_is_none_is_refused(numbers: Server, slice: dict[str, int]) -> None:
    assert numbers("POST", "/numbers-0/_search?scroll=1m", {"slice": slice}).status_code == 400


def test_a_slice_needs_a_scroll_or_a_point_in_time(numbers: Server) -> None:
    assert numbers("POST", "/numbers-0/_search", {"slice": {"id": 0, "max": 2}}).status_code == 400


def test_a_point_in_time_over_several_indices_is_searched_as_they_are(numbers: Server) -> None:
    made = numbers("POST", "/numbers-*/_search/point_in_time?keep_alive=1m").json()
    for extra in (
        {"sort": [{"n": "desc"}], "size": 4, "from": 3},
        {"query": {"match": {"text": "odd"}}},
        {"track_total_hits": 5, "size": 0},
        {"sort": ["n"], "search_after": [10], "size": 3},
    ):
        frozen = numbers("POST", "/_search", {"pit": {"id": made["pit_id"]}, **extra}).json()
        live = numbers("POST", "/numbers-*/_search", extra).json()
        assert frozen["hits"] == live["hits"]
        assert frozen["_shards"] == live["_shards"]
    numbers("DELETE", "/numbers-0/_doc/0")
    counted = numbers("POST", "/_search", {"pit": {"id": made["pit_id"]}, "size": 0}).json()
    assert counted["hits"]["total"]["value"] == 25
    halves = [
        numbers("POST", "/_search", {"pit": {"id": made["pit_id"]}, "slice": {"id": half, "max": 2}}).json()
        for half in range(2)
    ]
    assert sum(half["hits"]["total"]["value"] for half in halves) == 25


def test_equal_hits_of_a_scroll_come_by_index(numbers: Server) -> None:
    page = numbers("POST", "/numbers-0,numbers-1/_search?scroll=1m", {"size": 9}).json()
    seen: list[str] = []
    while page["hits"]["hits"]:
        seen += [hit["_index"] for hit in page["hits"]["hits"]]
        page = numbers("POST", "/_search/scroll", {"scroll_id": page["_scroll_id"]}).json()
    assert seen == ["numbers-0"] * 13 + ["numbers-1"] * 12


def test_totals_as_a_number_in_every_search_of_an_msearch(numbers: Server) -> None:
    body = lines([{"index": "numbers-0"}, {"size": 0}, {"index": "numbers-1", "search_type": "fast"}, {}])
    answers = numbers("POST", "/_msearch?rest_total_hits_as_int=true", content=body).json()["responses"]
    assert answers[0]["hits"]["total"] == 13
    assert answers[1]["status"] == 400
    assert numbers("POST", "/_msearch?max_concurrent_searches=0", content=body).status_code == 400


def test_what_was_cut_of_a_plain_string_is_told_by_every_kind_of_search(numbers: Server) -> None:
    query = {"query": {"quidditch_plain": {"query": "odd " * 2_000}}}
    (note,) = numbers("POST", "/numbers-*/_search", query).json()["quidditch_notes"]
    assert "cut" in note
    scroll = numbers("POST", "/numbers-*/_search?scroll=1m", query).json()
    assert scroll["quidditch_notes"] == [note]
    for indices in ("numbers-*", "numbers-1"):
        pit = numbers("POST", f"/{indices}/_search/point_in_time?keep_alive=1m").json()["pit_id"]
        assert numbers("POST", "/_search", {"pit": {"id": pit}, **query}).json()["quidditch_notes"] == [note]


def test_the_window_of_a_point_in_time_is_that_of_its_indices(numbers: Server) -> None:
    pit = numbers("POST", "/numbers-*/_search/point_in_time?keep_alive=1m").json()["pit_id"]
    deep = {"pit": {"id": pit}, "from": 9_999}
    refused = numbers("POST", "/_search", deep).json()["error"]
    assert [shard["index"] for shard in refused["failed_shards"]] == ["numbers-0", "numbers-1"]
    numbers("PUT", "/numbers-0/_settings", {"index": {"max_result_window": 20_000}})
    refused = numbers("POST", "/_search", deep).json()["error"]
    assert [shard["index"] for shard in refused["failed_shards"]] == ["numbers-1"]
    numbers("DELETE", "/numbers-1")
    assert numbers("POST", "/_search", deep).status_code == 200


@pytest.mark.parametrize("bad", [{"size": "x"}, {"from": [1]}, {"size": -1}, {"track_total_hits": "x"}])
def test_numbers_of_a_search_over_several_views_are_checked(numbers: Server, bad: dict[str, object]) -> None:
    pit = numbers("POST", "/numbers-*/_search/point_in_time?keep_alive=1m").json()["pit_id"]
    for path in ("/_search", "/_quidditch/_search"):
        refused = numbers("POST", path, {"pit": {"id": pit}, **bad})
        assert refused.status_code == (200 if path == "/_search" and bad == {"size": -1} else 400)
