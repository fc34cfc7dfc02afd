"""What a `Database` and its indices do beside documents and searches: aliases, settings, closing, writes by query."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from quidditch import (
    IndexBlocked,
    IndexClosed,
    IndexExists,
    IndexNotFound,
    QueryError,
    RequestError,
    VersionConflict,
)
from quidditch.interface import Database, Index


class UpkeepContract:
    """A subclass supplies the database."""

    @pytest.fixture
    def database(self) -> Database:
        """An open database without an index."""
        raise NotImplementedError("a subclass supplies the database")

    @pytest.fixture
    def books(self, database: Database) -> Index:
        index = database.create_index(
            "books", {"properties": {"tag": {"type": "keyword"}, "n": {"type": "integer"}}}
        )
        index.add_many([{"_id": str(n), "n": n, "tag": "even" if n % 2 == 0 else "odd"} for n in range(10)])
        return index

    # --------------------------------------------------------------------------------------------- aliases

    def test_a_search_by_an_alias_is_narrowed_by_its_filter(self, database: Database, books: Index) -> None:
        actions = [
            {"add": {"index": "books", "alias": "all"}},
            {"add": {"index": "bo*", "alias": "odd", "filter": {"term": {"tag": "odd"}}}},
        ]
        database.update_aliases(actions)
        assert database.search("all").total == 10
        assert database.search("odd").total == 5
        assert database.search("odd,books").total == 10
        assert database.search("od*").total == 5
        assert database.describe()["books"].aliases == {
            "all": {},
            "odd": {"filter": {"term": {"tag": "odd"}}},
        }

    def test_changes_of_aliases_are_one(self, database: Database, books: Index) -> None:
        database.create_index("films")
        database.update_aliases([{"add": {"index": "books", "alias": "now"}}])
        swap = [
            {"remove": {"index": "books", "alias": "now"}},
            {"add": {"index": "films", "alias": "now"}},
        ]
        database.update_aliases(swap)
        assert [name for name, info in database.describe().items() if "now" in info.aliases] == ["films"]
        with pytest.raises(RequestError, match="nothing"):
            database.update_aliases(
                [
                    {"add": {"index": "books", "alias": "x"}},
                    {"remove": {"index": "books", "alias": "nothing"}},
                ]
            )
        assert database.describe()["books"].aliases == {}

    @pytest.mark.parametrize(
        ("action", "error", "words"),
        [
            ({"add": {"index": "nothing", "alias": "x"}}, IndexNotFound, "nothing"),
            ({"add": {"index": "books", "alias": "books"}}, RequestError, "an index has this name"),
            ({"add": {"index": "books", "alias": "Upper"}}, RequestError, "lower case"),
            ({"add": {"index": "books", "alias": "x", "filtre": {}}}, RequestError, "filter"),
            ({"add": {"index": "books", "alias": "x", "filter": {"trm": {}}}}, QueryError, "trm"),
            ({"add": {"index": "books"}}, RequestError, "alias"),
            ({"put": {"index": "books", "alias": "x"}}, RequestError, "put"),
        ],
    )
    def test_a_bad_change_of_aliases_is_named(
        self, database: Database, books: Index, action: object, error: type[Exception], words: str
    ) -> None:
        with pytest.raises(error, match=words):
            database.update_aliases([action])

    def test_an_alias_has_one_write_index(self, database: Database, books: Index) -> None:
        database.create_index("films")
        writing = [
            {"add": {"index": name, "alias": "x", "is_write_index": True}} for name in ("books", "films")
        ]
        with pytest.raises(RequestError, match="more than one write index"):
            database.update_aliases(writing)

    def test_a_name_is_an_index_or_an_alias(self, database: Database, books: Index) -> None:
        database.update_aliases([{"add": {"index": "books", "alias": "library"}}])
        with pytest.raises(IndexExists, match="library"):
            database.create_index("library")

    # ------------------------------------------------------------------------------------------- open, close

    def test_a_closed_index_refuses_and_forgets_nothing(self, database: Database, books: Index) -> None:
        database.close_index("books")
        assert database.describe()["books"].closed
        for refused in (
            lambda: books.get("1"),
            lambda: books.add({}),
            lambda: books.search(),
            lambda: len(books),
        ):
            with pytest.raises(IndexClosed, match="books"):
                refused()
        database.open_index("books")
        assert len(books) == 10
        with pytest.raises(IndexNotFound):
            database.close_index("films")

    # --------------------------------------------------------------------------------------------- settings

    def test_settings_change(self, books: Index) -> None:
        books.put_settings({"index": {"refresh_interval": "5s", "number_of_replicas": 0}})
        books.put_settings({"refresh_interval": "9s", "priority": 3}, preserve=True)
        assert books.settings == {"refresh_interval": "5s", "number_of_replicas": 0, "priority": 3}
        books.put_settings({"refresh_interval": None})
        assert "refresh_interval" not in books.settings
        for refused in ({"refresh": "1s"}, {"durability": "async"}):
            with pytest.raises(RequestError, match=next(iter(refused))):
                books.put_settings(refused)

    @pytest.mark.parametrize("block", ["blocks.write", "blocks.read_only"])
    def test_a_block_refuses_writes_until_it_is_taken_back(self, books: Index, block: str) -> None:
        books.put_settings({"index": {block: True}})
        for refused in (lambda: books.add({}), lambda: books.delete("1"), lambda: books.add_many([{}])):
            with pytest.raises(IndexBlocked, match=block):
                refused()
        assert [item.status for item in books.bulk([{"delete": {"_id": "1"}}]).items] == [403]
        assert books.count() == 10
        books.put_settings({block: None})
        books.delete("1")
        assert books.count() == 9
        with pytest.raises(RequestError, match="true or false"):
            books.put_settings({block: "maybe"})

    # --------------------------------------------------------------------------------------------- versions

    def test_versions_counted_elsewhere_only_rise(self, books: Index) -> None:
        assert books.add({"n": 1}, "x", version=7).version == 7
        for refused in (6, 7):
            with pytest.raises(VersionConflict, match="current version"):
                books.add({"n": 2}, "x", version=refused)
        assert books.add({"n": 3}, "x", version=7, version_type="external_gte").version == 7
        assert books.delete("x", version=9).version == 9
        with pytest.raises(VersionConflict):
            books.add({"n": 4}, "x", version=8)
        assert books.add({"n": 5}, "x").version == 10

    @pytest.mark.parametrize("version", [-1, 1.5, "7", True, 1 << 63])
    def test_a_bad_version_is_refused(self, books: Index, version: int) -> None:
        with pytest.raises(RequestError, match="version"):
            books.add({}, "x", version=version)

    # --------------------------------------------------------------------------------------------- by query

    def test_delete_by_query(self, books: Index) -> None:
        done = books.delete_by_query({"term": {"tag": "odd"}})
        assert (done.total, done.deleted, done.version_conflicts) == (5, 5, 0)
        assert books.count() == 5
        assert books.delete_by_query(None, max_docs=2).deleted == 2
        assert books.count() == 3

    def test_update_by_query_takes_the_mapping_of_now(self, database: Database) -> None:
        index = database.create_index("x", {"dynamic": False, "properties": {"a": {"type": "keyword"}}})
        index.add({"b": "dune"}, "1")
        index.put_mappings({"properties": {"b": {"type": "keyword"}}})
        assert index.count({"term": {"b": "dune"}}) == 0
        assert index.update_by_query().updated == 1
        assert index.count({"term": {"b": "dune"}}) == 1

    def test_by_query_leaves_alone_what_is_changed_meanwhile(
        self, books: Index, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A document that is read after it was changed does not match any more."""
        changed = threading.Event()
        read = type(books).mget

        def change_first(index: Index, ids: list[str], **options: Any) -> object:
            if not changed.is_set():
                changed.set()
                books.add({"n": 1, "tag": "even"}, "1")
            return read(index, ids, **options)

        monkeypatch.setattr(type(books), "mget", change_first)
        done = books.delete_by_query({"term": {"tag": "odd"}}, conflicts="proceed")
        assert (done.total, done.deleted, done.version_conflicts) == (5, 4, 1)
        assert "1" in books

    def test_a_conflict_aborts_unless_told_otherwise(
        self, books: Index, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(type(books), "mget", lambda index, ids, **_: [None] * len(ids))
        with pytest.raises(VersionConflict, match="changed meanwhile"):
            books.delete_by_query({"term": {"tag": "odd"}})
        with pytest.raises(RequestError, match="conflicts"):
            books.delete_by_query(None, conflicts="ignore")  # type: ignore[arg-type]
