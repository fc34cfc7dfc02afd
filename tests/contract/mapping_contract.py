"""What every `Index` does with mappings: every field type, arrays, multi-fields, dynamic fields, refusals."""

from __future__ import annotations

from typing import Any

import pytest

from quidditch import DocumentError, MappingError, QueryError
from quidditch.interface import Database, Index


class MappingContract:
    """Needs the fixtures `database`, open and empty, and `index`, one of its indices; it maps by itself."""

    def mapped(self, database: Database, **properties: Any) -> Index:
        return database.create_index("mapped", mappings={"properties": properties})

    # ------------------------------------------------------------------------------------------------- types

    @pytest.mark.parametrize(
        ("kind", "value", "found", "missed"),
        [
            ("text", "The Quick Fox", "quick", "fo"),
            ("keyword", "The Quick Fox", "The Quick Fox", "quick"),
            ("long", 2**62 + 1, 2**62 + 1, 2**62),
            ("integer", -5, -5, 5),
            ("short", "12", 12, 1),
            ("byte", -128, -128, 127),
            ("double", 0.1, 0.1, 0.100000001),
            ("float", 0.1, 0.1, 0.2),
            ("boolean", "true", True, False),
            ("date", "2024-02-29T12:00:00+02:00", "2024-02-29T10:00:00Z", "2024-02-29T12:00:00Z"),
        ],
    )
    def test_every_type_is_found_by_term(
        self, database: Database, kind: str, value: Any, found: Any, missed: Any
    ) -> None:
        index = self.mapped(database, field={"type": kind})
        index.add({"field": value}, id="one")
        index.add({"field": [value, None, value]}, id="array")
        index.add({"other": 1}, id="none")
        assert {hit.id for hit in index.search({"term": {"field": found}})} == {"one", "array"}
        assert index.count({"term": {"field": missed}}) == 0
        assert index.count({"exists": {"field": "field"}}) == 2
        assert index["one"]["field"] == value

    @pytest.mark.parametrize(
        ("kind", "value"),
        [
            ("long", "seven"),
            ("long", 2**63),
            ("integer", 2**31),
            ("short", -(2**15) - 1),
            ("byte", 128),
            ("long", {"a": 1}),
            ("long", True),
            ("double", "1,5"),
            ("float", 1e300),
            ("boolean", "yes"),
            ("boolean", 1),
            ("date", "29.02.2024"),
            ("date", "2023-02-29"),
            ("date", True),
            ("keyword", {"a": 1}),
            ("text", {"a": 1}),
        ],
    )
    def test_what_does_not_fit_is_refused_alone(self, database: Database, kind: str, value: Any) -> None:
        index = self.mapped(database, outer={"properties": {"field": {"type": kind}}})
        with pytest.raises(DocumentError) as refused:
            index.add({"outer": {"field": value}}, id="bad")
        assert "outer.field" in str(refused.value)
        assert kind in str(refused.value)
        assert "bad" not in index
        assert index.add({"outer": {}}, id="good").result == "created"

    def test_the_value_seen_is_named(self, database: Database) -> None:
        index = self.mapped(database, year={"type": "integer"})
        with pytest.raises(DocumentError, match=r"(?s)year.*soon"):
            index.add({"year": "soon"})

    def test_objects_are_dotted_paths(self, database: Database) -> None:
        index = self.mapped(database, owner={"properties": {"name": {"type": "keyword"}}})
        index.add({"owner": {"name": "ann"}}, id="object")
        index.add({"owner.name": "ann"}, id="dotted")
        index.add({"owner": [{"name": "bob"}, {"name": "ann"}]}, id="array")
        found = index.search({"term": {"owner.name": "ann"}})
        assert {hit.id for hit in found} == {"object", "dotted", "array"}

    def test_multi_fields(self, database: Database) -> None:
        index = self.mapped(
            database,
            title={
                "type": "text",
                "fields": {"raw": {"type": "keyword"}, "stemmed": {"type": "text", "analyzer": "english"}},
            },
        )
        index.add({"title": "Running Foxes"}, id="1")
        assert index.count({"term": {"title.raw": "Running Foxes"}}) == 1
        assert index.count({"match": {"title.stemmed": "fox runs"}}) == 1
        assert index.count({"match": {"title": "fox"}}) == 0
        assert index.search(sort=[{"title.raw": "asc"}])[0].sort == ("Running Foxes",)

    def test_ignore_above_keeps_the_source(self, database: Database) -> None:
        index = self.mapped(database, tag={"type": "keyword", "ignore_above": 3})
        index.add({"tag": ["abc", "abcd"]}, id="1")
        assert index.count({"term": {"tag": "abc"}}) == 1
        assert index.count({"term": {"tag": "abcd"}}) == 0
        assert index["1"]["tag"] == ["abc", "abcd"]

    def test_null_value_stands_in(self, database: Database) -> None:
        index = self.mapped(
            database, tag={"type": "keyword", "null_value": "none"}, n={"type": "long", "null_value": -1}
        )
        index.add({"tag": None, "n": [None, 3]}, id="1")
        index.add({"tag": []}, id="2")
        assert [hit.id for hit in index.search({"term": {"tag": "none"}})] == ["1"]
        assert index.count({"term": {"n": -1}}) == 1
        assert index["1"]["tag"] is None

    def test_a_field_without_index_is_not_searched(self, database: Database) -> None:
        index = self.mapped(
            database,
            text={"type": "text", "index": False},
            tag={"type": "keyword", "index": False, "doc_values": False},
        )
        index.add({"text": "dune", "tag": "dune"}, id="1")
        for path in ("text", "tag"):
            with pytest.raises(QueryError, match=path):
                index.search({"term": {path: "dune"}})
        assert index["1"]["text"] == "dune"

    def test_a_field_without_doc_values_is_not_sorted(self, database: Database) -> None:
        index = self.mapped(database, n={"type": "long", "doc_values": False}, title={"type": "text"})
        index.add({"n": 1, "title": "Dune"}, id="1")
        for path in ("n", "title"):
            with pytest.raises(QueryError, match=path):
                index.search(sort=[{path: "asc"}])

    def test_positions_are_needed_for_phrases(self, database: Database) -> None:
        index = self.mapped(database, title={"type": "text", "index_options": "freqs"})
        index.add({"title": "the left hand"}, id="1")
        assert index.count({"match": {"title": "left hand"}}) == 1
        with pytest.raises(QueryError, match="title"):
            index.search({"match_phrase": {"title": "left hand"}})

    def test_search_analyzer_reads_queries(self, database: Database) -> None:
        index = self.mapped(
            database, title={"type": "text", "analyzer": "english", "search_analyzer": "keyword"}
        )
        index.add({"title": "foxes"}, id="1")
        assert index.count({"match": {"title": "fox"}}) == 1
        assert index.count({"match": {"title": "foxes"}}) == 0

    # ------------------------------------------------------------------------------------------------- dates

    @pytest.mark.parametrize(
        ("options", "value", "moment"),
        [
            ({}, "2024", "2024-01-01T00:00:00Z"),
            ({}, "2024-02", "2024-02-01T00:00:00Z"),
            ({}, "2024-02-29", "2024-02-29T00:00:00Z"),
            ({}, 1709164800000, "2024-02-29T00:00:00Z"),
            ({}, "1709164800000", "2024-02-29T00:00:00Z"),
            ({}, -1000, "1969-12-31T23:59:59Z"),
            ({"format": "dd/MM/yyyy"}, "29/02/2024", "2024-02-29T00:00:00Z"),
            ({"format": "epoch_second"}, 1709164800, "2024-02-29T00:00:00Z"),
            ({"format": "yyyy/MM/dd HH:mm||epoch_millis"}, "2024/02/29 01:02", "2024-02-29T01:02:00Z"),
        ],
    )
    def test_date_formats(self, database: Database, options: dict[str, Any], value: Any, moment: str) -> None:
        index = self.mapped(database, at={"type": "date", **options})
        index.add({"at": value}, id="1")
        limits = {"gte": moment, "lte": moment, "format": "strict_date_optional_time"}
        assert index.count({"range": {"at": limits}}) == 1

    # ----------------------------------------------------------------------------------------- dynamic fields

    def test_new_fields_are_mapped(self, index: Index) -> None:
        index.add(
            {"s": "Some Text", "i": 7, "f": 0.5, "b": True, "d": "2024-02-29", "o": {"x": 1}, "a": [None, 3]}
        )
        properties = index.mappings["properties"]
        assert {name: properties[name].get("type") for name in "sifbda"} == {
            "s": "text",
            "i": "long",
            "f": "float",
            "b": "boolean",
            "d": "date",
            "a": "long",
        }
        assert properties["s"]["fields"]["keyword"] == {"type": "keyword", "ignore_above": 256}
        assert properties["o"]["properties"]["x"]["type"] == "long"
        assert index.count({"term": {"s.keyword": "Some Text"}}) == 1
        assert index.count({"match": {"s": "text"}}) == 1

    def test_a_mapped_field_keeps_its_type(self, index: Index) -> None:
        index.add({"n": 1}, id="1")
        with pytest.raises(DocumentError, match="n"):
            index.add({"n": "one"}, id="2")
        index.add({"n": "2"}, id="3")
        assert index.count({"range": {"n": {"gte": 1}}}) == 2

    def test_a_refused_document_maps_nothing(self, index: Index) -> None:
        index.put_mappings({"properties": {"n": {"type": "long"}}})
        with pytest.raises(DocumentError):
            index.add({"fresh": "text", "n": "one"})
        assert "fresh" not in index.mappings["properties"]

    def test_dynamic_false_keeps_and_ignores(self, database: Database) -> None:
        index = database.create_index(
            "quiet", mappings={"dynamic": False, "properties": {"n": {"type": "long"}}}
        )
        index.add({"n": 1, "other": "text", "deep": {"er": [1, "a"]}}, id="1")
        assert list(index.mappings["properties"]) == ["n"]
        assert index["1"]["deep"] == {"er": [1, "a"]}
        assert index.count({"match": {"other": "text"}}) == 0

    def test_dynamic_strict_refuses(self, database: Database) -> None:
        index = database.create_index(
            "strict",
            mappings={"dynamic": "strict", "properties": {"o": {"properties": {"n": {"type": "long"}}}}},
        )
        index.add({"o": {"n": 1}}, id="1")
        for source in ({"other": 1}, {"o": {"other": 1}}):
            with pytest.raises(DocumentError, match="other"):
                index.add(source)
        assert len(index) == 1

    # ------------------------------------------------------------------------------------------- put_mappings

    def test_fields_are_added_without_reindexing(self, index: Index) -> None:
        index.put_mappings({"properties": {"title": {"type": "text"}}})
        index.add({"title": "Dune"}, id="1")
        index.put_mappings(
            {"properties": {"tag": {"type": "keyword"}, "o": {"properties": {"n": {"type": "long"}}}}}
        )
        index.add({"title": "Dune", "tag": "sf", "o": {"n": 1}}, id="2")
        assert index.count({"match": {"title": "dune"}}) == 2
        assert index.count({"term": {"tag": "sf"}}) == 1
        assert index.count({"term": {"o.n": 1}}) == 1

    @pytest.mark.parametrize(
        "change",
        [
            {"title": {"type": "keyword"}},
            {"title": {"type": "text", "analyzer": "english"}},
            {"title": {"properties": {"x": {"type": "long"}}}},
            {"o": {"type": "long"}},
            {"n": {"type": "double"}},
        ],
    )
    def test_incompatible_changes_are_refused(self, index: Index, change: dict[str, Any]) -> None:
        index.put_mappings(
            {
                "properties": {
                    "title": {"type": "text"},
                    "n": {"type": "long"},
                    "o": {"properties": {"x": {"type": "long"}}},
                }
            }
        )
        before = index.mappings
        with pytest.raises(MappingError, match=next(iter(change))):
            index.put_mappings({"properties": {**change, "fresh": {"type": "long"}}})
        assert index.mappings == before
        index.add({"title": "Dune", "n": 1, "o": {"x": 1}}, id="1")
        assert index.count({"match": {"title": "dune"}}) == 1

    @pytest.mark.parametrize(
        "mappings",
        [
            {"properties": {"a": {"type": "text", "analyser": "english"}}},
            {"properties": {"a": {"type": "text", "analyzer": "englsh"}}},
            {"properties": {"a": {"type": "txet"}}},
            {"properties": {"a": {"type": 7}}},
            {"properties": {"a": "text"}},
            {"properties": ["a"]},
            {"propertys": {}},
            {"dynamic": "sometimes"},
            {"properties": {"a": {"type": "keyword", "ignore_above": "many"}}},
            {"properties": {"a": {"type": "long", "null_value": "none"}}},
            {"properties": {"a": {"type": "date", "format": "qqqq"}}},
            {"properties": {"": {"type": "long"}}},
        ],
    )
    def test_malformed_mappings_are_refused(self, index: Index, mappings: dict[str, Any]) -> None:
        before = index.mappings
        with pytest.raises(MappingError):
            index.put_mappings(mappings)
        assert index.mappings == before

    def test_a_changed_copy_of_the_mappings_changes_nothing(self, index: Index) -> None:
        index.put_mappings({"properties": {"n": {"type": "long"}}})
        index.mappings["properties"]["n"]["type"] = "text"
        assert index.mappings["properties"]["n"]["type"] == "long"
