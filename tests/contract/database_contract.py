"""What every `Database` does. Put an implementation under it by subclassing and supplying two fixtures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from quidditch import (
    IndexExists,
    IndexNotFound,
    LimitExceeded,
    MappingError,
    QueryError,
    QuidditchError,
    RequestError,
)
from quidditch.interface import Database

OpenAgain: TypeAlias = Callable[[], Database]

REFUSED_NAMES = (
    "", ".", "..", "Upper", "_hidden", "-minus", "+plus", "with space", "a/b", "a\\b", "a*b", "a?b", 'a"b',
    "a<b", "a>b", "a|b", "a,b", "a#b", "a:b", "x" * 256, "nul\0", "../outside", "line\nbreak", "\ud800",
)  # fmt: skip


class DatabaseContract:
    """Indices by name, bulk over several of them, and OpenSearch bodies."""

    @pytest.fixture
    def database(self) -> Database:
        """An open database without an index."""
        raise NotImplementedError("a subclass supplies the database")

    @pytest.fixture
    def open_again(self) -> OpenAgain:
        """Opens one more handle on the database of this test."""
        raise NotImplementedError("a subclass supplies further handles")

    # --------------------------------------------------------------------------------------------- indices

    def test_a_new_database_has_no_index(self, database: Database) -> None:
        assert database.indices() == []
        assert "books" not in database

    def test_an_index_is_created_found_and_listed(self, database: Database) -> None:
        created = database.create_index("books")
        database.create_index("authors")
        assert created.name == "books"
        assert sorted(database.indices()) == ["authors", "books"]
        assert "books" in database
        assert database["books"].name == database.index("books").name == "books"

    def test_an_index_is_created_once(self, database: Database) -> None:
        database.create_index("books").add({"title": "Dune"}, id="1")
        with pytest.raises(IndexExists, match="books"):
            database.create_index("books")
        assert len(database["books"]) == 1

    def test_an_absent_index_is_named(self, database: Database) -> None:
        with pytest.raises(IndexNotFound, match="bokks"):
            database["bokks"]
        with pytest.raises(KeyError):
            database.index("bokks")
        with pytest.raises(IndexNotFound, match="bokks"):
            database.delete_index("bokks")

    def test_a_deleted_index_is_gone(self, database: Database) -> None:
        database.create_index("books").add({"title": "Dune"}, id="1")
        database.delete_index("books")
        assert "books" not in database
        assert database.indices() == []
        assert len(database.create_index("books")) == 0

    @pytest.mark.parametrize("name", REFUSED_NAMES)
    def test_bad_names_are_refused(self, database: Database, name: str) -> None:
        with pytest.raises(RequestError):
            database.create_index(name)
        assert database.indices() == []

    @pytest.mark.parametrize("name", ["a", "logs-2024.01", "x" * 255, "0", "bücher", "本"])
    def test_good_names_are_taken(self, database: Database, name: str) -> None:
        database.create_index(name).add({"n": 1}, id="1")
        assert database.indices() == [name]
        assert len(database[name]) == 1

    def test_bad_mappings_create_nothing(self, database: Database) -> None:
        with pytest.raises(MappingError, match="txet"):
            database.create_index("books", mappings={"properties": {"title": {"type": "txet"}}})
        assert "books" not in database

    def test_unknown_analyzers_are_named(self, database: Database) -> None:
        mappings = {"properties": {"title": {"type": "text", "analyzer": "englsh"}}}
        with pytest.raises(MappingError, match="englsh"):
            database.create_index("books", mappings=mappings)
        assert "books" not in database

    def test_mappings_come_back(self, database: Database) -> None:
        mappings = {"properties": {"title": {"type": "text", "analyzer": "english"}}}
        database.create_index("books", mappings=mappings)
        assert database["books"].mappings["properties"]["title"]["analyzer"] == "english"

    # --------------------------------------------------------------------------------------------- handles

    def test_another_handle_sees_what_is_acknowledged(
        self, database: Database, open_again: OpenAgain
    ) -> None:
        index = database.create_index("books")
        index.add({"title": "Dune"}, id="1")
        with open_again() as other:
            assert other.indices() == ["books"]
            assert other["books"]["1"]["title"] == "Dune"
            assert other["books"].search("dune").total == 1
            other["books"].add({"title": "Dune Messiah"}, id="2")
        assert index.search("dune").total == 2

    def test_a_closed_database_refuses_by_name(self, database: Database) -> None:
        index = database.create_index("books")
        database.close()
        database.close()
        with pytest.raises(QuidditchError, match="closed"):
            index.add({"title": "Dune"})
        with pytest.raises(QuidditchError, match="closed"):
            index.search("dune")

    def test_a_database_is_a_context_manager(self, database: Database) -> None:
        with database as same:
            assert same.indices() == []
        with pytest.raises(QuidditchError, match="closed"):
            database.indices()

    # ------------------------------------------------------------------------------------------------ bulk

    def test_bulk_writes_to_several_indices(self, database: Database) -> None:
        database.create_index("books")
        database.create_index("authors")
        done = database.bulk(
            [
                {"index": {"_index": "books", "_id": "1"}},
                {"title": "Dune"},
                {"create": {"_index": "authors", "_id": "h"}},
                {"name": "Herbert"},
                {"update": {"_index": "books", "_id": "1"}},
                {"doc": {"year": 1965}},
                {"delete": {"_index": "books", "_id": "9"}},
            ]
        )
        assert [item.op for item in done.items] == ["index", "create", "update", "delete"]
        assert [item.status for item in done.items] == [201, 201, 200, 404]
        assert database["books"]["1"].source == {"title": "Dune", "year": 1965}
        assert database["authors"]["h"]["name"] == "Herbert"

    def test_bulk_takes_action_dicts(self, database: Database) -> None:
        database.create_index("books")
        done = database.bulk(
            [
                {"_index": "books", "_id": "1", "title": "Dune"},
                {"_op_type": "index", "_index": "books", "_id": "2", "_source": {"title": "Emma"}},
                {"_op_type": "update", "_index": "books", "_id": "1", "doc": {"year": 1965}},
                {"_op_type": "delete", "_index": "books", "_id": "2"},
            ]
        )
        assert done.ok == 4
        assert not done.errors
        assert database["books"]["1"].source == {"title": "Dune", "year": 1965}
        assert "2" not in database["books"]

    def test_one_bad_item_stops_nothing(self, database: Database) -> None:
        database.create_index("books", mappings={"properties": {"year": {"type": "integer"}}})
        done = database.bulk(
            [
                {"index": {"_index": "books", "_id": "1"}},
                {"year": "soon"},
                {"index": {"_index": "books", "_id": "2"}},
                {"year": 1965},
                {"create": {"_index": "books", "_id": "2"}},
                {"year": 1966},
                {"update": {"_index": "books", "_id": "none"}},
                {"doc": {"year": 1}},
            ]
        )
        assert done.ok == 1
        assert [item.position for item in done.errors] == [0, 2, 3]
        assert [item.status for item in done.errors] == [400, 409, 404]
        assert "year" in str(done.errors[0].error)
        assert "soon" in str(done.errors[0].error)
        assert database["books"]["2"]["year"] == 1965
        assert len(database["books"]) == 1

    def test_bulk_of_nothing_does_nothing(self, database: Database) -> None:
        done = database.bulk([])
        assert done.ok == 0
        assert not done.errors

    # -------------------------------------------------------------------------------------------- searching

    def test_search_takes_the_body_as_it_is(self, database: Database) -> None:
        books = database.create_index("books")
        for number, year in enumerate((1965, 1969, 1976)):
            books.add({"title": f"Dune {number}", "year": year}, id=str(number))
        body = {
            "query": {"match": {"title": "dune"}},
            "from": 1,
            "size": 1,
            "sort": [{"year": "desc"}],
            "_source": ["year"],
        }
        answer = database.search("books", body).to_dict()
        assert answer["hits"]["total"] == {"value": 3, "relation": "eq"}
        (hit,) = answer["hits"]["hits"]
        assert (hit["_index"], hit["_id"], hit["_source"], hit["sort"]) == (
            "books",
            "1",
            {"year": 1969},
            [1969],
        )
        assert hit["_score"] is None

    def test_search_without_a_body_finds_everything(self, database: Database) -> None:
        database.create_index("books").add({"title": "Dune"}, id="1")
        assert database.search("books").total == 1

    def test_a_page_of_several_indices_may_lie_deep(self, database: Database) -> None:
        for name in ("books", "films"):
            database.create_index(name).add({"title": "Dune"}, id="1")
        assert len(database.search("books,films", {"size": 20_000})) == 2
        assert len(database.search("books,films", {"from": 1, "size": 999_999})) == 1
        with pytest.raises(LimitExceeded, match="1000000"):
            database.search("books,films", {"from": 1, "size": 1_000_000})

    def test_search_refuses_unknown_parameters(self, database: Database) -> None:
        database.create_index("books")
        with pytest.raises(QueryError, match="qurey"):
            database.search("books", {"qurey": {"match_all": {}}})

    def test_search_of_an_absent_index_names_it(self, database: Database) -> None:
        with pytest.raises(IndexNotFound, match="bokks"):
            database.search("bokks", {})
