"""What every `Index` does with documents: writes, reads by id, versions, values of all kinds, refusals."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from quidditch import DocumentError, DocumentNotFound, QuidditchError, RequestError, VersionConflict
from quidditch.interface import Index


class WritingContract:
    """Needs the fixture `index`: an open, empty index that maps new fields by itself."""

    # --------------------------------------------------------------------------------------- add, get, delete

    def test_add_creates_then_updates(self, index: Index) -> None:
        first = index.add({"title": "Dune"}, id="1")
        second = index.add({"title": "Dune Messiah"}, id="1")
        assert (first.id, first.version, first.result) == ("1", 1, "created")
        assert (second.id, second.version, second.result) == ("1", 2, "updated")
        assert second.seq_no > first.seq_no
        assert second.primary_term == 1
        assert index["1"].source == {"title": "Dune Messiah"}
        assert len(index) == 1

    def test_an_id_is_made_when_none_is_given(self, index: Index) -> None:
        ids = {index.add({"n": number}).id for number in range(20)}
        assert len(ids) == 20
        assert all(id in index for id in ids)

    def test_the_documents_own_id_counts(self, index: Index) -> None:
        source = {"_id": "own", "title": "Dune"}
        assert index.add(source).id == "own"
        assert index["own"].source == {"title": "Dune"}
        assert source == {"_id": "own", "title": "Dune"}

    def test_get_knows_version_and_sequence(self, index: Index) -> None:
        index.add({"title": "Dune"}, id="1")
        written = index.add({"title": "Dune"}, id="1")
        document = index.get("1")
        assert (document.id, document.version, document.seq_no) == ("1", 2, written.seq_no)
        assert document["title"] == "Dune"
        assert document.get("year", 1965) == 1965

    def test_what_is_not_there_is_not_found(self, index: Index) -> None:
        with pytest.raises(DocumentNotFound, match="nobody"):
            index.get("nobody")
        with pytest.raises(KeyError):
            index["nobody"]
        assert "nobody" not in index
        assert 7 not in index

    def test_mget_keeps_the_order_asked_for(self, index: Index) -> None:
        for id in "abc":
            index.add({"own": id}, id=id)
        found = index.mget(["c", "nobody", "a", "c"])
        assert [document and document.id for document in found] == ["c", None, "a", "c"]
        assert index.mget([]) == []

    def test_delete_says_what_it_did(self, index: Index) -> None:
        written = index.add({"title": "Dune"}, id="1")
        deleted = index.delete("1")
        assert (deleted.id, deleted.result, deleted.version) == ("1", "deleted", 2)
        assert deleted.seq_no > written.seq_no
        assert index.delete("1").result == "not_found"
        assert index.delete("never").result == "not_found"
        assert "1" not in index
        assert len(index) == 0
        assert index.search("dune").total == 0

    # --------------------------------------------------------------------------------- versions and conflicts

    def test_create_refuses_what_is_there(self, index: Index) -> None:
        assert index.add({"n": 1}, id="1", op="create").result == "created"
        with pytest.raises(VersionConflict, match="1"):
            index.add({"n": 2}, id="1", op="create")
        assert index["1"].source == {"n": 1}
        index.delete("1")
        assert index.add({"n": 3}, id="1", op="create").result == "created"

    def test_a_write_on_condition_happens_once(self, index: Index) -> None:
        seen = index.add({"n": 1}, id="1")
        index.add({"n": 2}, id="1", if_seq_no=seen.seq_no, if_primary_term=1)
        refusals: list[Callable[[], object]] = [
            lambda: index.add({"n": 3}, id="1", if_seq_no=seen.seq_no, if_primary_term=1),
            lambda: index.update("1", {"n": 3}, if_seq_no=seen.seq_no, if_primary_term=1),
            lambda: index.delete("1", if_seq_no=seen.seq_no, if_primary_term=1),
            lambda: index.add({"n": 3}, id="1", if_seq_no=index["1"].seq_no, if_primary_term=2),
        ]
        for refused in refusals:
            with pytest.raises(VersionConflict):
                refused()
        assert index["1"].source == {"n": 2}
        assert index.delete("1", if_seq_no=index["1"].seq_no, if_primary_term=1).result == "deleted"

    # ----------------------------------------------------------------------------------------------- update

    def test_update_merges_objects(self, index: Index) -> None:
        index.add({"a": {"b": 1, "c": {"d": 2}}, "list": [1, 2]}, id="1")
        done = index.update("1", {"a": {"c": {"e": 3}}, "list": [9], "new": None})
        assert (done.result, done.version) == ("updated", 2)
        assert index["1"].source == {"a": {"b": 1, "c": {"d": 2, "e": 3}}, "list": [9], "new": None}

    def test_update_of_nothing_is_a_noop(self, index: Index) -> None:
        written = index.add({"a": {"b": 1}}, id="1")
        done = index.update("1", {"a": {"b": 1}})
        assert (done.result, done.version, done.seq_no) == ("noop", written.version, written.seq_no)
        assert index.update("1", {"a": {"b": 1}}, detect_noop=False).result == "updated"
        assert index["1"].version == 2

    def test_update_of_an_absent_document(self, index: Index) -> None:
        with pytest.raises(DocumentNotFound, match="1"):
            index.update("1", {"n": 1})
        assert index.update("1", {"n": 1}, upsert={"n": 0}).result == "created"
        assert index["1"].source == {"n": 0}
        assert index.update("1", {"n": 1}, upsert={"n": 0}).result == "updated"
        assert index["1"].source == {"n": 1}
        assert index.update("2", {"n": 2}, doc_as_upsert=True).result == "created"
        assert index["2"].source == {"n": 2}

    def test_update_is_searched(self, index: Index) -> None:
        index.add({"title": "Dune", "year": 1965}, id="1")
        index.update("1", {"title": "Emma"})
        assert index.count("dune") == 0
        assert index.count("emma") == 1
        assert index.count({"term": {"year": 1965}}) == 1

    def test_a_refused_update_changes_nothing(self, index: Index) -> None:
        index.put_mappings({"properties": {"year": {"type": "integer"}}})
        index.add({"year": 1965}, id="1")
        with pytest.raises(DocumentError, match="year"):
            index.update("1", {"year": "soon"})
        assert (index["1"].source, index["1"].version) == ({"year": 1965}, 1)

    # ------------------------------------------------------------------------------------------- many at once

    def test_add_many_streams(self, index: Index) -> None:
        done = index.add_many(({"_id": str(number), "n": number} for number in range(2500)), chunk=400)
        assert (done.ok, done.errors, len(index)) == (2500, [], 2500)
        assert index["2499"].source == {"n": 2499}
        assert index.count({"range": {"n": {"gte": 2000}}}) == 500

    def test_add_many_takes_ids_from_a_field(self, index: Index) -> None:
        assert index.add_many([{"isbn": "x1", "n": 1}, {"isbn": "x2", "n": 2}], id_field="isbn").ok == 2
        assert index["x2"].source == {"isbn": "x2", "n": 2}

    def test_add_many_makes_ids(self, index: Index) -> None:
        index.add_many([{"n": 1}, {"n": 2}], id_field=None)
        assert len(index) == 2

    def test_add_many_replaces_within_a_chunk(self, index: Index) -> None:
        assert index.add_many([{"_id": "1", "n": 1}, {"_id": "2", "n": 2}, {"_id": "1", "n": 3}]).ok == 3
        assert len(index) == 2
        assert (index["1"].source, index["1"].version) == ({"n": 3}, 2)
        assert [hit.id for hit in index.search()] == ["2", "1"]

    def test_add_many_reports_the_bad_and_keeps_the_good(self, index: Index) -> None:
        index.put_mappings({"properties": {"year": {"type": "integer"}}})
        docs: list[Any] = [{"_id": "1", "year": 1}, {"_id": "2", "year": "soon"}, [], {"_id": "4", "year": 4}]
        done = index.add_many(docs)
        assert done.ok == 2
        assert not done
        assert [item.position for item in done.errors] == [1, 2]
        assert done.errors[0].id == "2"
        assert "year" in str(done.errors[0].error)
        assert "soon" in str(done.errors[0].error)
        assert sorted(hit.id for hit in index.scan()) == ["1", "4"]

    def test_add_many_of_nothing(self, index: Index) -> None:
        assert index.add_many([]).ok == 0

    def test_a_broken_stream_keeps_what_came_before(self, index: Index) -> None:
        def stream() -> Any:
            yield from ({"_id": str(number)} for number in range(10))
            raise OSError("the disk with the documents went away")

        with pytest.raises(OSError, match="went away"):
            index.add_many(stream(), chunk=3)
        assert len(index) >= 9
        assert index.add({"n": 1}, id="after").result == "created"

    def test_bulk_of_one_index(self, index: Index) -> None:
        done = index.bulk(
            [{"index": {"_id": "1"}}, {"n": 1}, {"delete": {"_id": "1"}}, {"create": {}}, {"n": 2}]
        )
        assert [item.result for item in done.items] == ["created", "deleted", "created"]
        assert len(index) == 1

    def test_bulk_names_what_it_cannot_read(self, index: Index) -> None:
        done = index.bulk([{"index": {"_id": "1"}}, {"n": 1}, {"upsrt": {"_id": "2"}}, {"n": 2}])
        assert done.items[0].result == "created"
        assert any("upsrt" in str(item.error) for item in done.errors)

    # ------------------------------------------------------------------------------------------------ values

    def test_python_values_are_taken(self, index: Index) -> None:
        index.put_mappings({"properties": {"price": {"type": "double"}, "key": {"type": "keyword"}}})
        moment = dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC)
        index.add(
            {
                "moment": moment,
                "day": dt.date(2024, 2, 29),
                "price": Decimal("12.50"),
                "key": uuid.UUID(int=7),
                "count": np.int32(3),
                "share": np.float64(0.25),
                "yes": np.bool_(True),
            },
            id="1",
        )
        for clause in (
            {"term": {"moment": "2024-02-29T12:30:00Z"}},
            {"range": {"day": {"gte": "2024-02-29", "lte": "2024-02-29"}}},
            {"term": {"price": 12.5}},
            {"term": {"key": str(uuid.UUID(int=7))}},
            {"term": {"count": 3}},
            {"term": {"share": 0.25}},
            {"term": {"yes": True}},
        ):
            assert index.count(clause) == 1, clause

    @pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, np.float64("nan"), Decimal("NaN")])
    def test_nan_and_infinity_are_refused_by_name(self, index: Index, number: Any) -> None:
        with pytest.raises(DocumentError, match=r"(?i)nan|infinit|inf"):
            index.add({"deep": {"n": [1.0, number]}}, id="1")
        assert len(index) == 0

    @pytest.mark.parametrize("source", [{"a": "x\ud800y"}, {"x\udfff": "a"}, {"a": [{"b": "\udc00"}]}])
    def test_lone_surrogates_are_refused(self, index: Index, source: dict[str, Any]) -> None:
        with pytest.raises(DocumentError, match="surrogate"):
            index.add(source, id="1")
        assert len(index) == 0

    @pytest.mark.parametrize("source", [[], "text", 7, None, b"bytes", object()])
    def test_what_is_no_object_is_refused(self, index: Index, source: Any) -> None:
        with pytest.raises(DocumentError):
            index.add(source, id="1")

    def test_unknown_kinds_of_values_are_refused(self, index: Index) -> None:
        with pytest.raises(DocumentError, match="thing"):
            index.add({"thing": object()}, id="1")

    def test_control_characters_are_kept(self, index: Index) -> None:
        text = "".join(map(chr, range(32))) + "\x7f dune \u2028\ufeff\ufffe"
        index.add({"title": text}, id="1")
        assert index["1"]["title"] == text
        assert index.count({"match": {"title": "dune"}}) == 1

    def test_empty_documents_are_documents(self, index: Index) -> None:
        empties: list[dict[str, Any]] = [{}, {"a": None}, {"a": []}, {"o": {}}, {"a": [None, []]}, {"a": ""}]
        for number, source in enumerate(empties):
            index.add(source, id=str(number))
            assert index[str(number)].source == source
        assert index.search().total == len(empties)

    @pytest.mark.parametrize("id", ["", "x" * 513, "ä" * 257, "\ud800"])
    def test_bad_ids_are_refused(self, index: Index, id: str) -> None:
        with pytest.raises(RequestError):
            index.add({"n": 1}, id=id)
        assert len(index) == 0

    @pytest.mark.parametrize("id", ["x" * 512, "ä" * 256, " ", "a/b", "\n", "😀", "_x"])
    def test_good_ids_are_taken(self, index: Index, id: str) -> None:
        index.add({"n": 1}, id=id)
        index.refresh()
        assert index[id].source == {"n": 1}
        assert [hit.id for hit in index.search()] == [id]

    def test_long_ids_with_one_beginning_stay_apart(self, index: Index) -> None:
        for ending in "abc":
            index.add({"own": ending}, id="x" * 511 + ending)
        index.delete("x" * 511 + "b")
        assert [index["x" * 511 + ending]["own"] for ending in "ac"] == ["a", "c"]
        assert "x" * 511 + "b" not in index

    def test_a_large_field_is_searched(self, index: Index) -> None:
        self.check_field_of(index, megabytes=20)

    @pytest.mark.long
    def test_a_field_of_100_mb_is_searched(self, index: Index) -> None:
        self.check_field_of(index, megabytes=100)

    def check_field_of(self, index: Index, megabytes: int) -> None:
        """A large field is taken and searched, or refused by a clear error; the index lives on either way."""
        text = "needle " + "hay " * (megabytes * 250_000) + "pin"
        try:
            index.add({"body": text}, id="large")
        except QuidditchError:
            assert "large" not in index
        else:
            assert index.count({"match": {"body": "needle pin"}}) == 1
            assert len(index["large"]["body"]) == len(text)
        index.add({"body": "needle"}, id="small")
        assert index.search({"match": {"body": "needle"}})[0].id == "small"

    def test_one_long_word_is_taken(self, index: Index) -> None:
        index.add({"body": "x" * 300_000 + " dune"}, id="1")
        assert index.count({"match": {"body": "dune"}}) == 1

    def test_ten_thousand_fields_are_taken_or_refused(self, index: Index) -> None:
        source = {f"field{number}": number for number in range(10_000)}
        try:
            index.add(source, id="wide")
        except RequestError:
            assert "wide" not in index
        else:
            assert index.count({"term": {"field9999": 9999}}) == 1
        index.add({"title": "Dune"}, id="1")
        assert index.count("dune") == 1

    def test_deep_nesting_is_taken_or_refused(self, index: Index) -> None:
        source: dict[str, Any] = {"end": 1}
        for _ in range(5000):
            source = {"a": source}
        try:
            index.add(source, id="deep")
        except QuidditchError:
            assert "deep" not in index
        index.add({"title": "Dune"}, id="1")
        assert index.count("dune") == 1
