"""What every `Index` answers: clauses, plain strings, order, pages, hits, counts, explanations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quidditch import LimitExceeded, QueryError, RequestError
from quidditch import query as q
from quidditch.interface import Index

BOOKS: list[dict[str, Any]] = [
    {"_id": "dune", "title": "Dune", "author": "Frank Herbert", "year": 1965, "tags": ["sf", "desert"]},
    {"_id": "messiah", "title": "Dune Messiah", "author": "Frank Herbert", "year": 1969, "tags": ["sf"]},
    {"_id": "emma", "title": "Emma", "author": "Jane Austen", "year": 1815, "tags": ["novel"]},
    {"_id": "left", "title": "The Left Hand of Darkness", "author": "Ursula K. Le Guin", "year": 1969},
    {"_id": "hand", "title": "The hand on the left", "author": "Nobody", "price": 9.5},
]
MAPPINGS = {
    "properties": {
        "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
        "author": {"type": "text"},
        "year": {"type": "integer"},
        "price": {"type": "double"},
        "tags": {"type": "keyword"},
    }
}


def ids(index: Index, query: Any, **options: Any) -> set[str]:
    return {hit.id for hit in index.search(query, **options)}


class SearchContract:
    """Needs the fixture `books`: an open index with `MAPPINGS` that holds `BOOKS`, added in that order."""

    @pytest.mark.parametrize(
        ("clause", "found"),
        [
            ({"match": {"title": "dune"}}, {"dune", "messiah"}),
            ({"match": {"title": "dune emma"}}, {"dune", "messiah", "emma"}),
            ({"match": {"title": {"query": "dune messiah", "operator": "and"}}}, {"messiah"}),
            ({"match": {"title": {"query": "left hand dune", "minimum_should_match": 2}}}, {"left", "hand"}),
            ({"match": {"title": {"query": "DUNE", "analyzer": "whitespace"}}}, set()),
            ({"match": {"year": "1965"}}, {"dune"}),
            ({"match_phrase": {"title": "left hand"}}, {"left"}),
            ({"match_phrase": {"title": {"query": "hand left", "slop": 2}}}, {"hand", "left"}),
            (
                {"multi_match": {"query": "frank emma", "fields": ["title", "author^2"]}},
                {"dune", "messiah", "emma"},
            ),
            (
                {"multi_match": {"query": "emma jane", "fields": ["title", "author"], "operator": "and"}},
                set(),
            ),
            ({"multi_match": {"query": "emma", "fields": ["ti*"], "type": "most_fields"}}, {"emma"}),
            ({"term": {"tags": "sf"}}, {"dune", "messiah"}),
            ({"term": {"tags": {"value": "SF"}}}, set()),
            ({"terms": {"tags": ["novel", "desert"]}}, {"dune", "emma"}),
            ({"terms": {"year": [1815, 1965]}}, {"dune", "emma"}),
            ({"range": {"year": {"gte": 1965, "lt": 1969}}}, {"dune"}),
            ({"range": {"year": {"gt": 1965}}}, {"messiah", "left"}),
            ({"range": {"price": {"lte": 9.5}}}, {"hand"}),
            ({"range": {"title.raw": {"gte": "E", "lt": "F"}}}, {"emma"}),
            (
                {"bool": {"must": [{"match": {"title": "dune"}}], "must_not": [{"term": {"year": 1969}}]}},
                {"dune"},
            ),
            ({"bool": {"filter": {"term": {"tags": "sf"}}}}, {"dune", "messiah"}),
            ({"bool": {"must_not": {"exists": {"field": "year"}}}}, {"hand"}),
            (
                {
                    "bool": {
                        "should": [
                            {"term": {"tags": "sf"}},
                            {"term": {"tags": "desert"}},
                            {"term": {"year": 1815}},
                        ],
                        "minimum_should_match": 2,
                    }
                },
                {"dune"},
            ),
            ({"match_all": {}}, {"dune", "messiah", "emma", "left", "hand"}),
            ({"match_none": {}}, set()),
            ({"exists": {"field": "tags"}}, {"dune", "messiah", "emma"}),
            ({"ids": {"values": ["dune", "hand", "nobody"]}}, {"dune", "hand"}),
            ({"prefix": {"title": "mess"}}, {"messiah"}),
            ({"prefix": {"title.raw": {"value": "Du"}}}, {"dune", "messiah"}),
            ({"constant_score": {"filter": {"term": {"tags": "sf"}}, "boost": 3}}, {"dune", "messiah"}),
            ({"dis_max": {"queries": [{"term": {"year": 1815}}, {"match": {"title": "dark"}}]}}, {"emma"}),
            ({"match": {"nowhere": "dune"}}, set()),
            ({"term": {"nowhere": 1}}, set()),
        ],
    )
    def test_clauses(self, books: Index, clause: dict[str, Any], found: set[str]) -> None:
        assert ids(books, clause) == found
        assert ids(books, q.parse(clause)) == found
        assert books.count(clause) == len(found)

    def test_query_objects_combine(self, books: Index) -> None:
        dune, sf, late = q.Match("title", "dune"), q.Term("tags", "sf"), q.Range("year", gte=1969)
        assert ids(books, dune & late) == {"messiah"}
        assert ids(books, q.Match("title", "emma") | late) == {"emma", "messiah", "left"}
        assert ids(books, sf & ~late) == {"dune"}
        assert ids(books, q.Bool(must=[dune], filter=[late])) == {"messiah"}
        assert ids(books, q.Phrase("title", "left hand", slop=1)) == {"left"}

    def test_no_query_is_everything_in_order(self, books: Index) -> None:
        result = books.search()
        assert [hit.id for hit in result] == [book["_id"] for book in BOOKS]
        assert [hit.score for hit in result] == [1.0] * 5

    # ------------------------------------------------------------------------------------------ plain strings

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("dune", {"dune", "messiah"}),
            ("DUNE", {"dune", "messiah"}),
            ('"left hand"', {"left"}),
            ("dune -messiah", {"dune"}),
            ("mess*", {"messiah"}),
            ("author:herbert", {"dune", "messiah"}),
            ("title:herbert", set()),
            ("", set()),
        ],
    )
    def test_plain_strings(self, books: Index, text: str, found: set[str]) -> None:
        assert ids(books, text) == found

    @given(text=st.text(st.characters(exclude_categories=[]), max_size=40))
    def test_any_string_is_answered(self, books: Index, text: str) -> None:
        assert books.search(text).total is not None

    @given(
        parts=st.lists(
            st.sampled_from(
                [
                    '"',
                    "-",
                    "*",
                    ":",
                    "(",
                    ")",
                    "title:",
                    "year:",
                    "dune",
                    " ",
                    "\\",
                    "^",
                    "~",
                    "AND",
                    "OR",
                    "NOT",
                    "[",
                    "]",
                    "/",
                    "{",
                    "+",
                    "||",
                    "&&",
                    "!",
                ]
            )
        )
    )
    def test_any_string_of_operators_is_answered(self, books: Index, parts: list[str]) -> None:
        assert books.search("".join(parts)).total is not None

    def test_what_is_too_long_is_cut_and_said(self, books: Index) -> None:
        result = books.search("dune " + " ".join(f"word{number}" for number in range(20_000)))
        assert result.total == 2
        assert result.notes

    def test_a_number_in_words_is_searched(self, books: Index) -> None:
        assert books.search("year:soon").total is not None
        assert books.search("nofield:dune").total is not None

    # ---------------------------------------------------------------------------------------- order and pages

    def test_better_matches_come_first(self, books: Index) -> None:
        result = books.search({"match": {"title": "dune"}})
        assert [hit.id for hit in result] == ["dune", "messiah"]
        scores = [hit.score or 0.0 for hit in result]
        assert scores == sorted(scores, reverse=True)
        assert result.max_score == scores[0]

    def test_pages_join_to_the_whole(self, books: Index) -> None:
        whole = [hit.id for hit in books.search("dune left", size=10)]
        pages = [hit.id for start in range(0, 6, 2) for hit in books.search("dune left", size=2, from_=start)]
        assert pages == whole
        assert len(books.search(size=0)) == 0
        assert books.search(size=0).total == 5
        assert len(books.search(from_=1000)) == 0

    @pytest.mark.parametrize("options", [{"size": -1}, {"from_": -1}, {"size": 10**9}, {"size": "ten"}])
    def test_bad_pages_are_refused(self, books: Index, options: dict[str, Any]) -> None:
        with pytest.raises(RequestError):
            books.search("dune", **options)

    @pytest.mark.parametrize(
        ("sort", "order"),
        [
            ([{"year": "asc"}], ["emma", "dune", "messiah", "left", "hand"]),
            ([{"year": {"order": "desc"}}], ["messiah", "left", "dune", "emma", "hand"]),
            ([{"year": {"order": "asc", "missing": "_first"}}], ["hand", "emma", "dune", "messiah", "left"]),
            (["title.raw"], ["dune", "messiah", "emma", "left", "hand"]),
            ([{"year": "desc"}, {"title.raw": "desc"}], ["left", "messiah", "dune", "emma", "hand"]),
            ("year", ["emma", "dune", "messiah", "left", "hand"]),
            ([{"_id": "desc"}], ["messiah", "left", "hand", "emma", "dune"]),
        ],
    )
    def test_sorts(self, books: Index, sort: Any, order: list[str]) -> None:
        result = books.search(sort=sort)
        assert [hit.id for hit in result] == order
        assert all(hit.score is None for hit in result)

    def test_sort_on_score_keeps_scores(self, books: Index) -> None:
        result = books.search({"match": {"title": "dune"}}, sort=["_score", {"year": "desc"}])
        assert [hit.id for hit in result] == ["dune", "messiah"]
        assert [hit.sort[0] for hit in result] == [hit.score for hit in result]

    @pytest.mark.parametrize("sort", [[{"nowhere": "asc"}], [{"title": "asc"}], [{"year": "up"}], [7], [{}]])
    def test_bad_sorts_are_refused(self, books: Index, sort: Any) -> None:
        with pytest.raises(QueryError):
            books.search(sort=sort)

    def test_filter_restricts_and_scores_nothing(self, books: Index) -> None:
        free = {hit.id: hit.score for hit in books.search({"match": {"title": "dune"}})}
        held = books.search({"match": {"title": "dune"}}, filter=q.Term("year", 1969))
        assert {hit.id: hit.score for hit in held} == {"messiah": free["messiah"]}

    # --------------------------------------------------------------------------------------------- hits

    @pytest.mark.parametrize(
        ("source", "kept"),
        [
            (True, {"title", "author", "year", "tags"}),
            (False, set()),
            ("title", {"title"}),
            (["t*"], {"title", "tags"}),
            ({"includes": ["t*", "year"], "excludes": ["tags"]}, {"title", "year"}),
        ],
    )
    def test_source_filtering(self, books: Index, source: Any, kept: set[str]) -> None:
        (hit,) = books.search({"ids": {"values": ["dune"]}}, source=source)
        assert set(hit.source) == kept

    def test_highlights_mark_the_words(self, books: Index) -> None:
        (hit,) = books.search({"match": {"title": "messiah"}}, highlight={"fields": {"title": {}}})
        assert hit.highlight == {"title": ["Dune <em>Messiah</em>"]}
        own = {"fields": {"title": {}}, "pre_tags": ["["], "post_tags": ["]"]}
        (hit,) = books.search({"match": {"title": "messiah"}}, highlight=own)
        assert hit.highlight == {"title": ["Dune [Messiah]"]}
        (hit,) = books.search({"match": {"title": "messiah"}}, highlight={"fields": {"author": {}}})
        assert hit.highlight == {}

    def test_a_result_is_a_sequence_and_an_opensearch_body(self, books: Index) -> None:
        result = books.search({"match": {"title": "dune"}}, size=1)
        assert (len(result), result.total, result.total_relation, result.timed_out) == (1, 2, "eq", False)
        assert result[0]["title"] == "Dune"
        body = result.to_dict()
        assert body["hits"]["total"] == {"value": 2, "relation": "eq"}
        assert body["hits"]["hits"][0]["_id"] == "dune"
        assert body["hits"]["hits"][0]["_index"] == books.name
        assert body["_shards"]["failed"] == 0

    def test_explain_is_the_score_in_words(self, books: Index) -> None:
        clause = {"match": {"title": "left hand"}}
        for hit in books.search(clause, explain=True):
            assert hit.explanation is not None
            assert hit.explanation.value == hit.score == books.explain(hit.id, clause).value
            assert "idf" in str(hit.explanation)
        assert books.explain("emma", clause).value == 0
        with pytest.raises(KeyError):
            books.explain("nobody", clause)

    def test_scan_visits_all_that_match(self, books: Index) -> None:
        assert {hit.id for hit in books.scan()} == {book["_id"] for book in BOOKS}
        assert {hit.id: hit["year"] for hit in books.scan({"term": {"tags": "sf"}})} == {
            "dune": 1965,
            "messiah": 1969,
        }
        assert [hit.source for hit in books.scan("emma", source=False)] == [{}]

    def test_scan_sees_one_moment(self, books: Index) -> None:
        scan = books.scan()
        first = next(scan)
        for book in BOOKS:
            books.delete(book["_id"])
        books.add({"title": "late"}, id="late")
        assert {first.id, *(hit.id for hit in scan)} == {book["_id"] for book in BOOKS}
        assert {hit.id for hit in books.scan()} == {"late"}

    def test_count(self, books: Index) -> None:
        assert books.count() == len(books) == 5
        assert books.count("dune") == 2
        assert books.count(q.Term("tags", "sf")) == 2

    def test_analyze(self, books: Index) -> None:
        tokens = books.analyze("The Running Foxes", analyzer="english")
        assert [token["token"] for token in tokens] == ["run", "fox"]
        assert [(token["position"], token["start_offset"], token["end_offset"]) for token in tokens] == [
            (1, 4, 11),
            (2, 12, 17),
        ]
        assert [token["token"] for token in books.analyze("The Fox", field="title")] == ["the", "fox"]
        with pytest.raises(RequestError, match="englsh"):
            books.analyze("x", analyzer="englsh")

    def test_stats_count_documents(self, books: Index) -> None:
        books.add({"title": "Dune again"}, id="dune")
        books.delete("emma")
        stats = books.stats()
        assert stats.documents == len(books) == 4
        assert stats.size_bytes > 0
        books.force_merge()
        merged = books.stats()
        assert (merged.documents, merged.deleted, merged.segments, merged.buffered) == (4, 0, 1, 0)
        assert merged.fields["title"] > 0

    def test_calls_on_an_empty_index(self, books: Index) -> None:
        for book in BOOKS:
            books.delete(book["_id"])
        for _ in range(2):
            assert books.search("dune").total == books.count() == len(books) == 0
            assert books.search("dune").max_score is None
            assert list(books.scan()) == []
            assert books.search(sort=["year"]).total == 0
            books.force_merge()

    def test_a_page_may_be_as_large_or_lie_as_deep_as_the_engine_allows(self, books: Index) -> None:
        """Further than OpenSearch's `index.max_result_window`, which is a limit of its `_search`."""
        assert (books.search(size=10, from_=999_990).total, books.search(from_=15_000).hits) == (5, [])
        with books.point_in_time() as view:
            for search_body in (books.search_body, view.search_body):
                assert len(search_body({"size": 20_000})) == 5
                assert search_body({"sort": ["_id"], "from": 3, "size": 999_997})[0].id == "left"
                with pytest.raises(LimitExceeded, match="1000000"):
                    search_body({"size": 1_000_001})

    def test_a_view_tells_how_a_plain_string_was_read(self, books: Index) -> None:
        clause = {"quidditch_plain": {"query": "dune " * 2_000}}
        with books.point_in_time() as view:
            assert view.search_body({"query": clause}).notes == books.search("dune " * 2_000).notes != ()

    # ------------------------------------------------------------------------------------------ bad queries

    @pytest.mark.parametrize(
        ("clause", "named"),
        [
            ({"mtach": {"title": "dune"}}, "mtach"),
            ({"match": {"title": {"query": "dune", "opertor": "and"}}}, "opertor"),
            ({"match": {"title": {"query": "dune", "operator": "xor"}}}, "xor"),
            ({"match": {"title": "dune", "author": "x"}}, "match"),
            ({"match": {}}, "match"),
            ({"match": "dune"}, "match"),
            ({"match": {"title": {"query": "x", "analyzer": "englsh"}}}, "englsh"),
            ({"match": {"year": "soon"}}, "year"),
            ({"term": {"year": "soon"}}, "year"),
            ({"term": {"title": {"valu": "x"}}}, "valu"),
            ({"terms": {"tags": "sf"}}, "terms"),
            ({"range": {"year": {"gte": "soon"}}}, "year"),
            ({"range": {"year": {"above": 3}}}, "above"),
            ({"bool": {"mst": []}}, "mst"),
            ({"bool": {"must": [{"bool": {"should": {"nope": {}}}}]}}, "nope"),
            ({"match_phrase": {"title": {"query": "a b", "slop": -1}}}, "slop"),
            ({"match_phrase": {"year": "a b"}}, "year"),
            ({"match": {"title": {"query": "x", "boost": "much"}}}, "boost"),
            ({"match_all": {}, "match_none": {}}, "match"),
            ({}, ""),
            ([], ""),
            (7, ""),
        ],
    )
    def test_bad_clauses_are_named(self, books: Index, clause: Any, named: str) -> None:
        for ask in (books.search, books.count):
            with pytest.raises(QueryError) as refused:
                ask(clause)
            assert named in str(refused.value)

    def test_unknown_names_bring_the_nearest(self, books: Index) -> None:
        with pytest.raises(QueryError, match="match"):
            books.search({"mtach": {"title": "dune"}})
        with pytest.raises(QueryError, match="operator"):
            books.search({"match": {"title": {"query": "dune", "opertor": "and"}}})

    def test_too_many_clauses_are_refused(self, books: Index) -> None:
        many = [{"term": {"title": f"word{number}"}} for number in range(100_000)]
        with pytest.raises(LimitExceeded, match=r"clauses.*limit"):
            books.search({"bool": {"should": many}})
        assert books.count("dune") == 2

    def test_deep_queries_are_refused_or_answered(self, books: Index) -> None:
        clause: dict[str, Any] = {"match": {"title": "dune"}}
        for _ in range(3000):
            clause = {"bool": {"must": [clause]}}
        with pytest.raises(RequestError):
            books.search(clause)

    @pytest.mark.parametrize("text", ["", "   ", "?!", "\x00"])
    def test_queries_without_words_find_nothing(self, books: Index, text: str) -> None:
        assert books.search({"match": {"title": text}}).total == 0
        assert books.search({"match_phrase": {"title": text}}).total == 0
        assert books.search(text).total == 0

    def test_stop_words_alone_find_nothing(self, books: Index) -> None:
        clause = {"match": {"title": {"query": "the of and", "analyzer": "english"}}}
        assert books.search(clause).total == 0
        zero = {"match": {"title": {"query": "the of", "analyzer": "english", "zero_terms_query": "all"}}}
        assert books.search(zero).total == 5
