"""What a `Database` and its indices do with the routing of documents."""

from __future__ import annotations

import pytest

from quidditch import RequestError, RoutingMissing
from quidditch.interface import Database, Index


class RoutingContract:
    """A subclass supplies the database."""

    @pytest.fixture
    def database(self) -> Database:
        """An open database without an index."""
        raise NotImplementedError("a subclass supplies the database")

    @pytest.fixture
    def books(self, database: Database) -> Index:
        return database.create_index("books", {"properties": {"tag": {"type": "keyword"}}})

    @pytest.fixture
    def routed(self, database: Database) -> Index:
        """An index that demands routings."""
        return database.create_index("routed", {"_routing": {"required": True}})

    def test_a_document_comes_back_with_its_routing(self, books: Index) -> None:
        books.add({"tag": "a"}, "1", routing="kim")
        books.add({"tag": "a"}, "2")
        assert [books.get(id).routing for id in "12"] == ["kim", None]
        assert [found and found.routing for found in books.mget(["2", "1"])] == [None, "kim"]
        assert {hit.id: hit.routing for hit in books.search()} == {"1": "kim", "2": None}
        assert {hit.id: hit.routing for hit in books.search(source=False)} == {"1": "kim", "2": None}
        assert {hit.id: hit.routing for hit in books.scan()} == {"1": "kim", "2": None}

    def test_it_is_found_whatever_the_routing(self, books: Index) -> None:
        books.add({"tag": "a"}, "1", routing="kim")
        assert books.get("1", routing="lee").routing == "kim"
        assert books.delete("1", routing="lee").result == "deleted"

    def test_a_routing_belongs_to_the_last_write(self, books: Index) -> None:
        for tag, routing in (("a", "kim"), ("b", "lee"), ("c", None), ("d", "kim")):
            books.add({"tag": tag}, "1", routing=routing)
            assert books.get("1").routing == routing
        books.delete("1")
        books.add({"tag": "e"}, "1")
        assert books.get("1").routing is None

    def test_an_update_keeps_it(self, books: Index) -> None:
        books.add({"tag": "a"}, "1", routing="kim")
        books.update("1", {"tag": "b"}, routing="lee")
        books.update("2", {"tag": "b"}, doc_as_upsert=True, routing="lee")
        assert [(books[id]["tag"], books[id].routing) for id in "12"] == [("b", "kim"), ("b", "lee")]

    def test_it_survives_segments_and_merges(self, books: Index) -> None:
        for number in range(3):
            books.add({"tag": "a"}, str(number), routing=f"r{number}")
            books.flush()
        books.force_merge()
        assert [books[str(number)].routing for number in range(3)] == ["r0", "r1", "r2"]
        assert sorted(hit.routing or "" for hit in books.search()) == ["r0", "r1", "r2"]

    def test_a_write_by_query_keeps_it(self, books: Index) -> None:
        books.add({"tag": "a"}, "1", routing="kim")
        assert books.update_by_query().updated == 1
        assert (books["1"].version, books["1"].routing) == (2, "kim")

    def test_a_stream_over_it_takes_it_away(self, books: Index) -> None:
        books.add({"tag": "a"}, "1", routing="kim")
        books.add({"tag": "a"}, "2", routing="lee")
        books.add_many({"_id": str(number), "tag": "b"} for number in (1, *range(3, 2_003)))
        assert [books[id].routing for id in ("1", "2", "3")] == [None, "lee", None]

    @pytest.mark.parametrize("count", [3, 2_500])
    def test_actions_of_a_bulk_name_it(self, books: Index, count: int) -> None:
        lines = [
            part
            for number in range(count)
            for part in ({"index": {"_id": str(number), "routing": f"r{number}"}}, {"tag": "a"})
        ]
        assert books.bulk(lines)
        assert [books[str(number)].routing for number in (0, 1, count - 1)] == ["r0", "r1", f"r{count - 1}"]

    @pytest.mark.parametrize("wrong", [["kim"], True, 1.5])
    def test_what_is_no_routing_is_refused(self, books: Index, wrong: object) -> None:
        with pytest.raises(RequestError, match="routing"):
            books.add({"tag": "a"}, "1", routing=wrong)  # type: ignore[arg-type]

    # ------------------------------------------------------------------------------------------- required

    def test_what_is_required_is_demanded(self, routed: Index) -> None:
        routed.add({"n": 1}, "1", routing="kim")
        missing = r"routing is required for \[routed\]/\[1\]"
        for refused in (
            lambda: routed.add({"n": 1}, "1"),
            lambda: routed.get("1"),
            lambda: routed.mget(["1"]),
            lambda: routed.update("1", {"n": 2}),
            lambda: routed.delete("1"),
        ):
            with pytest.raises(RoutingMissing, match=missing):
                refused()
        assert routed.get("1", routing="kim")["n"] == 1
        (found,) = routed.mget(["1"], routings=["kim"])
        assert found is not None
        assert found.routing == "kim"
        assert routed.update("1", {"n": 2}, routing="kim").result == "updated"
        assert routed.delete("1", routing="kim").result == "deleted"

    def test_of_a_bulk_the_actions_without_one_fail(self, routed: Index) -> None:
        lines = [
            {"index": {"_id": "1"}}, {"n": 1},
            {"index": {"_id": "2", "routing": "kim"}}, {"n": 2},
            {"delete": {"_id": "3"}},
        ]  # fmt: skip
        items = routed.bulk(lines).items
        assert [item.error_type for item in items] == [
            "routing_missing_exception", None, "routing_missing_exception",
        ]  # fmt: skip
        assert routed.search().total == 1

    def test_writes_by_query_have_what_the_documents_have(self, routed: Index) -> None:
        routed.add({"n": 1}, "1", routing="kim")
        assert routed.update_by_query().updated == 1
        assert routed.delete_by_query(None).deleted == 1

    def test_a_mapping_shows_it_and_keeps_it(self, routed: Index) -> None:
        routed.put_mappings({"properties": {"n": {"type": "long"}}})
        assert routed.mappings["_routing"] == {"required": True}
        with pytest.raises(RequestError, match="required"):
            routed.put_mappings({"_routing": {"required": False}})
        with pytest.raises(RequestError, match="path"):
            routed.put_mappings({"_routing": {"path": "n"}})
