"""Search and Document, the client's classes for those who rather not write dicts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import opensearchpy
import pytest
from opensearchpy import Document, Index, Integer, Keyword, Q, Search, Text, UpdateByQuery
from opensearchpy.helpers.field import Date


class Book(Document):  # type: ignore[misc,unused-ignore]
    """A document with a mapping."""

    title = Text(fields={"raw": Keyword()})
    tags = Keyword(multi=True)
    year = Integer()
    seen = Date()

    class Index:
        name = "books"
        settings = {"number_of_replicas": 0}  # noqa: RUF012 - what the client asks for


@pytest.fixture
def books(client: opensearchpy.OpenSearch) -> opensearchpy.OpenSearch:
    Book.init(using=client)
    for id, title, year in (("1", "Dune", 1965), ("2", "Dune Messiah", 1969), ("3", "Emma", 1815)):
        book = Book(meta={"id": id}, title=title, year=year, tags=["novel"], seen=datetime(2024, 1, 2, 3, 4))
        assert book.save(using=client, refresh=True) == "created"
    return client


def test_a_document_class_makes_its_index(books: opensearchpy.OpenSearch) -> None:
    properties = books.indices.get_mapping(index="books")["books"]["mappings"]["properties"]
    assert properties["title"] == {"type": "text", "fields": {"raw": {"type": "keyword"}}}
    assert properties["year"] == {"type": "integer"}
    assert Index("books", using=books).exists()


def test_documents_are_read_changed_and_deleted(books: opensearchpy.OpenSearch) -> None:
    book: Any = Book.get(id="1", using=books)
    assert (book.title, book.year, book.tags) == ("Dune", 1965, ["novel"])
    assert book.seen == datetime(2024, 1, 2, 3, 4)
    assert book.update(using=books, year=1966, refresh=True) == "updated"
    assert Book.get(id="1", using=books).year == 1966
    book.delete(using=books, refresh=True)
    assert Book.get(id="1", using=books, ignore=404) is None
    assert [each and each.title for each in Book.mget(["1", "3"], using=books)] == [None, "Emma"]


def test_a_stale_document_is_not_written_over(books: opensearchpy.OpenSearch) -> None:
    mine, theirs = (Book.get(id="1", using=books) for _ in range(2))
    theirs.update(using=books, year=1)
    with pytest.raises(opensearchpy.ConflictError):
        mine.update(using=books, year=2)


def test_searches_are_put_together(books: opensearchpy.OpenSearch) -> None:
    search = Book.search(using=books).query("match", title="dune").filter("range", year={"gte": 1966})
    (book,) = search.highlight("title").execute()
    assert isinstance(book, Book)
    assert book.title == "Dune Messiah"
    assert list(book.meta.highlight.title) == ["<em>Dune</em> Messiah"]
    either = Q("match", title="emma") | Q("term", **{"title.raw": "Dune"})
    found = Search(using=books, index="books").query(either & ~Q("range", year={"lt": 1900}))
    assert [hit.meta.id for hit in found] == ["1"]
    assert found.count() == 1


def test_pages_order_and_fields(books: opensearchpy.OpenSearch) -> None:
    search = Search(using=books, index="books").sort("-year").source(["title"])[1:3]
    answer = search.execute()
    assert [hit.title for hit in answer] == ["Dune", "Emma"]
    assert answer.hits.total.value == 3
    assert "year" not in answer.hits[0]
    assert {hit.meta.id for hit in Search(using=books, index="books").scan()} == {"1", "2", "3"}


def test_deleting_what_is_found(books: opensearchpy.OpenSearch) -> None:
    Search(using=books, index="books").query("match", title="dune").params(refresh=True).delete()
    assert Search(using=books, index="books").count() == 1


def test_updating_what_is_found_counts_it(books: opensearchpy.OpenSearch) -> None:
    update = UpdateByQuery(using=books, index="books").query("match", title="dune")
    assert update.execute().updated == 2
