"""The client by itself: options, bodies, errors on the wire, streams of writes."""

from __future__ import annotations

import base64
import gzip
import json
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import httpx
import pytest

import quidditch
from quidditch import errors
from quidditch import query as q
from quidditch.interface import Database
from quidditch.remote.failures import named_error
from quidditch.server.app import create_app

from .answering import Script, ToApplication, answer, books, bulk_answer, client, error, written

EMPTY = {
    "took": 1,
    "timed_out": False,
    "_shards": {"total": 1, "successful": 1, "failed": 0},
    "hits": {"total": {"value": 0, "relation": "eq"}, "max_score": None, "hits": []},
}


# ------------------------------------------------------------------------------------------------------ options


@pytest.mark.parametrize(
    ("location", "options", "words"),
    [
        ("http://", {}, "address"),
        ("http://a:b@host", {}, "basic_auth"),
        ("http://host:port", {}, "port"),
        ("http://host/?x=1", {}, "address"),
        ("http://host", {"retires": 3}, "retires.*retries"),
        ("http://host", {"timeout_s": "soon"}, "timeout_s"),
        ("http://host", {"retries": -1}, "retries"),
        ("http://host", {"retries": 1.5}, "retries"),
        ("http://host", {"max_connections": 0}, "max_connections"),
        ("http://host", {"timeout_s": float("inf")}, "timeout_s"),
        ("http://host", {"timeout_s": float("nan")}, "timeout_s"),
        ("http://host", {"api_key": "k", "basic_auth": ("u", "p")}, "one of the two"),
    ],
)
def test_what_cannot_be_connected_to_is_told(location: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.RequestError, match=words):
        quidditch.connect(location, **options)


def test_connecting_sends_nothing() -> None:
    script = Script()
    with client(script):
        pass
    assert script.requests == []


def test_keys_and_passwords_are_sent_and_never_shown() -> None:
    script = Script(answer({}), answer({}))
    keyed = client(script, api_key="secret-key", headers={"x-team": "search"})
    assert keyed.indices() == []
    assert script.requests[0].headers["authorization"] == "ApiKey secret-key"
    assert script.requests[0].headers["x-team"] == "search"
    named = client(script, basic_auth=("ann", "secret-word"))
    assert named.indices() == []
    expected = base64.b64encode(b"ann:secret-word").decode()
    assert script.requests[1].headers["authorization"] == f"Basic {expected}"
    assert "secret" not in repr(keyed) + repr(named)


@pytest.mark.parametrize(("compress", "packed"), [(True, True), (False, False), (None, False)])
def test_large_bodies_are_packed_unless_the_server_is_here(compress: bool | None, packed: bool) -> None:
    script = Script(written)
    books(script, compress=compress).add({"text": "dune " * 1000}, id="1")
    (request,) = script.requests
    assert (request.headers.get("content-encoding") == "gzip") is packed
    assert ("gzip" in request.headers["accept-encoding"]) is packed
    content = gzip.decompress(request.content) if packed else request.content
    assert json.loads(content) == {"text": "dune " * 1000}


def test_a_closed_handle_refuses() -> None:
    database = client(Script())
    database.close()
    database.close()
    with pytest.raises(errors.StorageError, match="closed"):
        database.indices()


def test_a_pickled_handle_connects_again() -> None:
    database = quidditch.connect("http://127.0.0.1:9200", api_key="k", timeout_s=3)
    again = pickle.loads(pickle.dumps(database))
    assert repr(again) == repr(database) == "RemoteDatabase('http://127.0.0.1:9200')"


def test_backup_says_where_it_works(tmp_path: Path) -> None:
    script = Script()
    with pytest.raises(errors.Unsupported, match="quidditch backup"):
        books(script).backup(tmp_path / "copy")
    with pytest.raises(errors.Unsupported, match="quidditch backup"):
        client(script).backup(tmp_path / "copy")


# ------------------------------------------------------------------------------------------------------- errors


def tree() -> list[type[errors.QuidditchError]]:
    """Every class that a server can cause. What lacks a library is a client; the root is never raised."""
    found = [each for each in vars(errors).values() if isinstance(each, type)]
    found = [each for each in found if issubclass(each, errors.QuidditchError)]
    never = (errors.MissingLibrary, errors.QuidditchError)
    return [each for each in found if each not in never]


class Refusing:
    """A database that raises one error, whatever it is asked."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def describe(self) -> NoReturn:
        raise self.error

    def create_index(self, *arguments: object) -> NoReturn:
        raise self.error


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_every_error_of_a_server_comes_back_as_its_class(kind: type[errors.QuidditchError]) -> None:
    words = 'index [books]: "17" seen, ü expected'
    transport = ToApplication(create_app(cast(Database, Refusing(kind(words)))))
    database = quidditch.connect("http://127.0.0.1", transport=transport, retries=0)
    # Two classes share the type of a mapping's errors; what was asked for tells them apart.
    creating = kind is errors.MappingError
    call: Callable[[], object] = partial(database.create_index, "books") if creating else database.indices
    with pytest.raises(errors.QuidditchError) as raised:
        call()
    assert type(raised.value) is kind
    assert str(raised.value) == words


def test_a_mapping_that_does_not_fit_is_told_from_a_document() -> None:
    refusal = error("mapper_parsing_exception", "no such type")
    with pytest.raises(errors.MappingError):
        books(Script(refusal)).put_mappings({})
    with pytest.raises(errors.DocumentError):
        books(Script(refusal)).add({"n": 1}, id="1")


def test_a_search_that_all_shards_refused_is_told_by_its_cause() -> None:
    cause = {"type": "index_closed_exception", "reason": "closed index [books]"}
    body = {"type": "search_phase_execution_exception", "reason": "all shards failed", "root_cause": [cause]}
    with pytest.raises(errors.IndexClosed, match=r"closed index \[books\]"):
        books(Script(answer({"error": body, "status": 400}, 400))).search()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, errors.Unreachable),
        (302, errors.Unreachable),
        (400, errors.Unreachable),
        (401, errors.AuthenticationFailed),
        (403, errors.AccessDenied),
        (404, errors.Unreachable),
        (413, errors.LimitExceeded),
        (500, errors.Unreachable),
        (502, errors.Unreachable),
        (503, errors.Unreachable),
    ],
)
@pytest.mark.parametrize("page", [b"<html>Who is there?</html>", b'{"message": "Who is there?"}'])
def test_what_is_no_quidditch_server_is_told(status: int, kind: type[Exception], page: bytes) -> None:
    database = client(Script(*[httpx.Response(status, content=page)] * 4), retries=0)
    for call in (lambda: database["books"], database.indices, lambda: database.search("books")):
        with pytest.raises(kind, match=rf"127\.0\.0\.1:9200/_quidditch/.* {status}.*Who is there") as raised:
            call()
        assert type(raised.value) is kind
        words = (
            "is the address right" if kind is errors.Unreachable and status not in (502, 503) else str(status)
        )
        assert words in str(raised.value)


def test_an_opensearch_server_is_told_from_ours() -> None:
    body = {"error": "no handler found for uri [/_quidditch/indices] and method [GET]"}
    with pytest.raises(errors.Unreachable, match=r"no handler found.*no Quidditch server"):
        client(Script(httpx.Response(400, json=body))).indices()


def test_a_write_that_a_gateway_lost_is_in_doubt() -> None:
    lost = httpx.Response(502, content=b"<html>Bad Gateway</html>")
    script = Script(lost)
    with pytest.raises(errors.Unreachable, match=r"Bad Gateway.*not known"):
        books(script).add({"n": 1}, id="1")
    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [502, 504])
def test_what_a_gateway_lost_is_asked_again_where_that_is_safe(status: int, naps: list[float]) -> None:
    lost = httpx.Response(status, content=b"<html>Bad Gateway</html>")
    assert books(Script(lost, lost, answer({"count": 3}))).count() == 3
    script = Script(lost, written)
    books(script).add({"n": 1}, op="create")
    assert script.asked[0] == script.asked[1]
    with pytest.raises(errors.Unreachable, match="Bad Gateway"):
        books(Script(*[lost] * 4)).count()


def test_a_type_of_a_later_release_keeps_its_words() -> None:
    told = named_error("quota_exceeded_exception", "no more today", 403)
    assert type(told) is errors.RequestError
    assert "no more today" in str(told)
    assert "quota_exceeded_exception" in str(told)


# ------------------------------------------------------------------------------------------------------- bodies


def test_queries_go_as_clauses() -> None:
    script = Script(answer(EMPTY))
    books(script).search(
        q.Match("title", "dune"),
        filter=["sand -worm", q.Term("year", 1965)],
        size=3,
        sort="year",
        timeout_s=0.5,
    )
    body = json.loads(script.requests[0].content)
    assert body["query"]["bool"] == {
        "must": [{"match": {"title": "dune"}}],
        "filter": [{"quidditch_plain": {"query": "sand -worm"}}, {"term": {"year": 1965}}],
    }
    assert (body["size"], body["sort"], body["timeout"]) == (3, "year", "500000micros")
    assert body["track_total_hits"] is True


def test_bodies_of_opensearch_go_as_they_are_with_all_hits_counted() -> None:
    script = Script(answer(EMPTY), answer(EMPTY))
    database = client(script)
    database.search("a,logs-*", {"query": {"match_all": {}}, "track_total_hits": 5})
    database.search("a")
    assert json.loads(script.requests[0].content) == {"query": {"match_all": {}}, "track_total_hits": 5}
    assert json.loads(script.requests[1].content) == {"track_total_hits": True}
    assert script.asked[0] == "POST /_quidditch/indices/a,logs-*/_search"


@pytest.mark.parametrize("id", [".", "..", "a/b", "a?b#c", "%2e", "ü"])
def test_ids_are_one_step_of_the_path(id: str) -> None:
    script = Script(written)
    books(script).add({"n": 1}, id=id)
    raw = script.requests[0].url.raw_path.decode()
    assert raw.startswith("/books/_doc/")
    step = raw.removeprefix("/books/_doc/").partition("?")[0]
    assert "/" not in step
    assert httpx.URL(f"http://h/{step}").path == f"/{id}" or step in ("%2E", "%2E%2E")


# ------------------------------------------------------------------------------------------------ many writes


def test_a_stream_goes_out_in_pieces_of_bounded_size() -> None:
    script = Script(*[bulk_answer] * 40)
    taken = 0

    def docs() -> Iterator[dict[str, Any]]:
        nonlocal taken
        for number in range(100):
            taken += 1
            # No more is read ahead than one request holds.
            assert taken - sent() <= 11
            yield {"_id": str(number), "text": "x" * 1000}

    def sent() -> int:
        return sum(len(request.content.splitlines()) // 2 for request in script.requests)

    done = books(script, bulk_bytes=10_000).add_many(docs())
    assert (done.ok, len(done.items)) == (100, 0)
    assert len(script.requests) == 10
    assert all(len(request.content) < 12_000 for request in script.requests)
    assert all(request.url.params["create_index"] == "false" for request in script.requests)


def test_chunk_limits_the_documents_of_a_request() -> None:
    script = Script(*[bulk_answer] * 4)
    books(script).add_many(({"_id": str(number)} for number in range(10)), chunk=3)
    assert [len(request.content.splitlines()) // 2 for request in script.requests] == [3, 3, 3, 1]


@pytest.mark.parametrize("bad", [{"chunk": 0}, {"chunk": True}, {"workers": 0}, {"id_field": 7}])
def test_bad_arguments_of_a_stream_are_named(bad: dict[str, Any]) -> None:
    with pytest.raises(errors.RequestError, match=next(iter(bad))):
        books(Script()).add_many([{"n": 1}], **bad)


def test_a_stream_that_stops_says_what_is_in() -> None:
    full = error("store_full_exception", "no room", 507)
    index = books(Script(bulk_answer, full))
    with pytest.raises(errors.StoreFull, match="no room") as stopped:
        index.add_many(({"_id": str(number)} for number in range(10)), chunk=6)
    assert stopped.value.partial.ok == 6
    index = books(Script(bulk_answer, full))
    with pytest.raises(errors.StoreFull) as stopped:
        index.bulk([{"_id": str(number), "text": "x" * 2_000_000} for number in range(5)])
    assert stopped.value.partial.ok == 3
    assert [item.id for item in stopped.value.partial.items] == ["0", "1", "2"]


def test_frames_are_documents_too() -> None:
    class Frame:
        def iter_rows(self, named: bool) -> Iterator[dict[str, Any]]:
            return iter([{"_id": "1", "n": 1, "none": None}])

    script = Script(bulk_answer)
    frame: Any = Frame()
    assert books(script).add_many(frame).ok == 1
    assert json.loads(script.requests[0].content.splitlines()[1]) == {"n": 1}


# --------------------------------------------------------------------------------------------------- scanning


def page(first: int, count: int) -> httpx.Response:
    hits: list[dict[str, Any]] = [
        {"_index": "books", "_id": str(number), "_score": None, "_source": {}, "sort": [number]}
        for number in range(first, first + count)
    ]
    return answer({**EMPTY, "hits": {"max_score": None, "hits": hits}})


def test_a_scan_reads_pages_of_one_view_and_ends_it() -> None:
    script = Script(answer({"pit_id": "p"}), page(0, 1000), page(1000, 5), answer({"pits": []}))
    assert [hit.id for hit in books(script).scan()] == [str(number) for number in range(1005)]
    assert script.asked == [
        "POST /books/_search/point_in_time",
        "POST /_quidditch/_search",
        "POST /_quidditch/_search",
        "DELETE /_search/point_in_time",
    ]
    assert json.loads(script.requests[2].content)["search_after"] == [999]


def test_a_scan_that_is_left_early_ends_its_view() -> None:
    script = Script(answer({"pit_id": "p"}), page(0, 1000), answer({"pits": []}))
    scan: Any = books(script).scan()
    next(scan)
    scan.close()
    assert script.asked[-1] == "DELETE /_search/point_in_time"
    assert json.loads(script.requests[-1].content) == {"pit_id": ["p"]}


def test_a_scan_whose_view_is_gone_is_told() -> None:
    gone = error("search_context_missing_exception", "no search context", 404)
    script = Script(answer({"pit_id": "p"}), page(0, 1000), gone, answer({"pits": []}))
    with pytest.raises(errors.SnapshotExpired):
        list(books(script).scan())
