"""What is sent again and what is not: never a write twice that may have been carried out and would hold twice."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from quidditch import Overloaded, StorageError, Unreachable, VersionConflict

from .answering import Script, answer, books, bulk_answer, client, error, written

REFUSED = httpx.ConnectError("connection refused")
CUT_OFF = httpx.RemoteProtocolError("server disconnected without sending a response")
SLOW = httpx.ReadTimeout("timed out")
COUNTED = answer({"count": 3})


def busy(**headers: str) -> httpx.Response:
    return error("rejected_execution_exception", "too many bytes in flight", 429, **headers)


def test_without_a_connection_everything_is_tried_again(naps: list[float]) -> None:
    script = Script(REFUSED, REFUSED, written)
    assert books(script).add({"n": 1}, id="1").result == "created"
    assert script.asked == ["PUT /books/_doc/1"] * 3
    assert len(naps) == 2
    assert naps[0] < naps[1] + 0.2


def test_a_server_that_is_not_there_is_told(naps: list[float]) -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9200.*refused.*Nothing was sent") as told:
        books(Script(*[REFUSED] * 4)).count()
    assert isinstance(told.value, ConnectionError)
    assert len(naps) == 3


def test_a_busy_server_is_asked_again_after_what_it_says(naps: list[float]) -> None:
    script = Script(busy(retry_after="2"), error("x", "draining", 503, retry_after="1"), busy(), written)
    assert books(script).add({"n": 1}, id="1").result == "created"
    assert 2 <= naps[0] < 2.2
    assert 1 <= naps[1] < 1.2
    assert 0 < naps[2] < 1


def test_a_server_that_stays_busy_is_told_in_time(naps: list[float]) -> None:
    with pytest.raises(Overloaded, match="bytes in flight"):
        books(Script(busy(retry_after="7200"))).count()
    assert naps == []


def test_503_without_a_word_is_an_error_at_once(naps: list[float]) -> None:
    with pytest.raises(StorageError, match="held by"):
        books(Script(error("store_locked_exception", "held by 7", 503))).add({"n": 1}, id="1")
    assert naps == []


@pytest.mark.parametrize("failure", [CUT_OFF, httpx.ReadError("reset"), httpx.WriteError("reset")])
def test_reads_are_asked_again(failure: Exception, naps: list[float]) -> None:
    assert books(Script(failure, COUNTED)).count() == 3


@pytest.mark.parametrize(
    "write",
    [
        lambda index: index.add({"n": 1}, id="1"),
        lambda index: index.update("1", {"n": 1}),
        lambda index: index.delete("1"),
        lambda index: index.delete_by_query(None),
        lambda index: index.add_many([{"_id": "1"}, {"n": 2}]),
        lambda index: index.bulk([{"delete": {"_id": "1"}}]),
    ],
)
@pytest.mark.parametrize("failure", [CUT_OFF, SLOW])
def test_a_write_that_may_have_been_carried_out_is_not_sent_twice(
    write: Any, failure: Exception, naps: list[float]
) -> None:
    script = Script(failure, written)
    with pytest.raises(Unreachable, match="not known"):
        write(books(script))
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda index: index.add({"n": 1}, id="1", op="create"),
        lambda index: index.add({"n": 1}, id="1", if_seq_no=3, if_primary_term=1),
        lambda index: index.update("1", {"n": 1}, if_seq_no=3, if_primary_term=1),
        lambda index: index.delete("1", if_seq_no=3, if_primary_term=1),
    ],
)
def test_a_write_that_holds_once_is_sent_again(write: Any, naps: list[float]) -> None:
    script = Script(CUT_OFF, written)
    write(books(script))
    assert script.asked[0] == script.asked[1]
    conflict = error("version_conflict_engine_exception", "[1]: version conflict", 409)
    with pytest.raises(VersionConflict) as refused:
        write(books(Script(CUT_OFF, conflict)))
    assert any("earlier attempt" in note for note in refused.value.__notes__)


def test_a_document_whose_id_was_made_here_is_written_once(naps: list[float]) -> None:
    """The conflict of the second attempt says that the first was carried out."""
    conflict = error("version_conflict_engine_exception", "document already exists", 409)

    def found(request: httpx.Request) -> httpx.Response:
        id = request.url.path.rsplit("/", 1)[-1]
        body = {
            "_id": id,
            "found": True,
            "_version": 1,
            "_seq_no": 7,
            "_primary_term": 1,
            "_source": {"n": 1},
        }
        return answer(body)

    script = Script(CUT_OFF, conflict, found)
    done = books(script).add({"n": 1})
    assert (done.result, done.seq_no) == ("created", 7)
    assert script.asked[0] == script.asked[1] == f"PUT /books/_create/{done.id}"


def test_a_stream_without_ids_is_sent_again_and_written_once(naps: list[float]) -> None:
    def conflicts(request: httpx.Request) -> httpx.Response:
        body = bulk_answer(request).json()
        for item in body["items"]:
            item["create"] = {
                "_index": "books",
                "_id": item["create"]["_id"],
                "status": 409,
                "error": {"type": "version_conflict_engine_exception", "reason": "already exists"},
            }
        return answer(body)

    script = Script(CUT_OFF, conflicts)
    done = books(script).add_many([{"n": 1}, {"n": 2}])
    assert (done.ok, done.errors) == (2, [])
    assert script.requests[0].content == script.requests[1].content


def test_no_call_of_a_read_only_handle_writes() -> None:
    script = Script()
    index = books(script, readonly=True)
    for write in (
        lambda: index.add({"n": 1}),
        lambda: index.add_many([{"n": 1}]),
        lambda: index.put_mappings({}),
        lambda: index.force_merge(),
        lambda: client(script, readonly=True).delete_index("books"),
    ):
        with pytest.raises(StorageError, match="read-only"):
            write()
    assert script.requests == []
