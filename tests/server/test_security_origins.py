"""What a page of the web can make a browser send to a server on this machine: none of it gets in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import quidditch
from quidditch.server.security.gate import Access
from quidditch.server.security.origins import Origins

from .asking import Server

FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def books(server: Server) -> Server:
    server("PUT", "/books/_doc/1", {"title": "Dune"})
    return server


@pytest.fixture
def public() -> Iterator[Server]:
    """A server that others than this machine reach, called search.example."""
    with quidditch.connect(":memory:") as database:
        yield Server(database, access=Access(origins=Origins(["search.example"], loopback=False)))


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:9200", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.7"],
)
def test_a_name_that_a_page_lets_point_here_is_refused(books: Server, host: str) -> None:
    for method, path in (
        ("GET", "/books/_search"),
        ("DELETE", "/books"),
        ("GET", "/"),
        ("GET", "/no/such/route"),
    ):
        refused = books(method, path, headers={"host": host})
        assert refused.status_code == 403
        assert "Dune" not in refused.text
    assert refused.json()["error"]["type"] == "security_exception"
    assert "books" in books.database


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9200", "localhost.", "127.0.0.1:9200", "127.8.8.8", "[::1]:9200"]
)
def test_names_of_this_machine_are_answered(books: Server, host: str) -> None:
    assert books("GET", "/books/_doc/1", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["", "a b", "localhost:", "localhost:99999999", "user@localhost", "localhost/x", "[::1"]
)
def test_a_host_that_is_none_is_refused(books: Server, host: str) -> None:
    assert books("GET", "/", headers={"host": host}).status_code == 400


def test_a_public_server_is_called_by_its_names_and_by_any_address(public: Server) -> None:
    for host in ("search.example", "search.example:9200", "192.168.1.7:9200", "localhost"):
        assert public("GET", "/", headers={"host": host}).status_code == 200
    assert public("GET", "/", headers={"host": "evil.example"}).status_code == 403


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "http://127.0.0.1:3000",
        "http://localhost",
        "",
        "file://",
        "http://127.0.0.1.evil.example",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
def test_a_page_of_another_origin_is_refused(books: Server, origin: str, method: str) -> None:
    sent = {"origin": origin, "access-control-request-method": "PUT"}
    refused = books(method, "/books/_doc/2", {"title": "x"}, headers=sent)
    assert refused.status_code == 403
    assert not [name for name in refused.headers if name.startswith("access-control-")]
    assert books("GET", "/books/_doc/2").status_code == 404


def test_its_own_page_may_ask(books: Server) -> None:
    own = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}
    answered = books("POST", "/books/_search", {"query": {"match": {"title": "dune"}}}, headers=own)
    assert answered.json()["hits"]["total"]["value"] == 1
    assert "access-control-allow-origin" not in answered.headers


def test_a_request_without_an_origin_is_told_by_where_the_browser_was(books: Server) -> None:
    for site in ("cross-site", "same-site"):
        image = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
        assert books("GET", "/books/_search", headers=image).status_code == 403
        frame = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}
        assert books("GET", "/books/_search", headers=frame).status_code == 403
        link = {"sec-fetch-site": site, "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert books("GET", "/books/_search", headers=link).status_code == 200
        assert books("POST", "/books/_refresh", headers=link).status_code == 403


@pytest.mark.parametrize(
    "kind", ["text/plain", FORM, "multipart/form-data; boundary=x", "text/plain; a=application/json", None]
)
def test_a_write_that_a_form_could_send_is_refused(books: Server, kind: str | None) -> None:
    for path in ("/books/_doc", "/_bulk", "/_aliases", "/books/_delete_by_query"):
        data = b'{"index": {"_index": "books"}}\n{"title": "x"}\n'
        sent = {"content-type": kind} if kind else {"content-type": ""}
        assert books("POST", path, content=data, headers=sent).status_code == 406
    assert books("GET", "/books/_count").json()["count"] == 1


def test_an_empty_form_is_a_form(books: Server) -> None:
    for path in ("/books/_close", "/books/_forcemerge", "/books/_doc?source=%7B%7D"):
        assert books("POST", path, content=b"", headers={"content-type": FORM}).status_code == 406
    assert books("GET", "/books/_doc/1").status_code == 200


def test_what_stands_for_a_body_says_that_it_is_json_as_a_body_does(books: Server) -> None:
    asked = "/books/_delete_by_query?source=%7B%22query%22%3A%7B%22match_all%22%3A%7B%7D%7D%7D"
    assert books("POST", asked + "&source_content_type=application/json").status_code == 406
    assert books("GET", "/books/_count").json()["count"] == 1


def test_answers_are_no_scripts_and_no_pages(books: Server) -> None:
    for path in ("/books/_doc/1", "/_cat/indices", "/none/_doc/1"):
        headers = books("GET", path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "html" not in headers["content-type"]
    assert books("GET", "/", headers={"host": "evil.example"}).headers["x-content-type-options"] == "nosniff"
