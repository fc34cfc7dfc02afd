"""The search page at `/_console`, as a reader uses it, in a real browser."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import httpx

from quidditch_pytest import Server

from .chromium import Browser, Page

BOOKS = {
    "dune": {
        "title": "Dune",
        "year": 1965,
        "plot": "A desert planet and its spice, and who rules the desert",
    },
    "emma": {"title": "Emma", "year": 1815, "plot": "A matchmaker in a village learns from what she spoils"},
}


def load(url: str, index: str, documents: Mapping[str, Mapping[str, Any]]) -> None:
    lines = [
        json.dumps(line)
        for id, document in documents.items()
        for line in ({"index": {"_index": index, "_id": id}}, document)
    ]
    headers = {"content-type": "application/x-ndjson"}
    answer = httpx.post(
        f"{url}/_bulk?refresh=true", content="\n".join(lines) + "\n", headers=headers, trust_env=False
    )
    assert answer.json()["errors"] is False, answer.text


def marks(page: Page) -> list[str]:
    found: list[str] = page.run("[...document.querySelectorAll('#hits mark')].map(mark => mark.innerText)")
    return found


def titles(page: Page) -> list[str]:
    found: list[str] = page.run(
        "[...document.querySelectorAll('#hits .title')].map(title => title.innerText)"
    )
    return found


def look_for(page: Page, text: str, count: int) -> None:
    """Type into the search box, as a person does, and wait for the number of documents that are found."""
    page.fill("#search-text", text)
    page.wait("document.querySelector('#hits').ariaBusy === 'false'")
    assert page.text("#search-status").startswith(f"{count} document"), page.text("main")


# ---------------------------------------------------------------------------------------------------- search


def test_what_is_typed_is_found_and_marked(page: Page, url: str) -> None:
    load(url, "books", BOOKS)
    page.go(f"{url}/_console")
    page.wait("document.querySelectorAll('#hits li').length === 2")
    look_for(page, "desert", 1)
    assert titles(page) == ["Dune"]
    assert marks(page) == ["desert", "desert"]
    assert "plot: A desert planet" in page.text("#hits .snippet")
    look_for(page, "dune", 1)
    assert marks(page) == ["Dune"]
    assert page.problems == []
    assert all(asked.startswith(f"{url}/") for asked in page.requests)


def test_a_search_can_be_kept_as_a_link(page: Page, url: str) -> None:
    load(url, "books", BOOKS)
    load(url, "films", {"1": {"title": "Dune, part two"}})
    page.go(f"{url}/_console#/search?index=films&q=dune")
    page.wait("document.querySelectorAll('#hits li').length === 1")
    assert titles(page) == ["Dune, part two"]
    page.run(
        "(e => { e.value = 'books'; e.dispatchEvent(new Event('change')); })(document.querySelector('#search-index'))"
    )
    page.wait("document.querySelector('#hits .title')?.innerText === 'Dune'")
    assert page.run("location.hash") == "#/search?index=books&q=dune"


def test_more_results_follow_page_by_page(page: Page, url: str) -> None:
    load(url, "many", {str(number): {"title": f"word {number}"} for number in range(45)})
    page.go(f"{url}/_console#/search?q=word")
    page.wait("document.querySelectorAll('#hits li').length === 20")
    for shown in (40, 45):
        page.click("#more")
        page.wait(f"document.querySelectorAll('#hits li').length === {shown}")
    assert page.run("document.querySelector('#more').hidden")
    assert len(set(titles(page))) == 45


def test_the_keyboard_is_enough(page: Page, url: str) -> None:
    load(url, "books", BOOKS)
    page.go(f"{url}/_console#/indices")
    page.press("/")
    page.wait("document.activeElement.id === 'search-text'")
    look_for(page, "a", 2)
    page.press("ArrowDown")
    page.press("ArrowDown")
    assert page.run("document.activeElement === document.querySelectorAll('#hits .title')[1]")
    page.press("Enter")
    page.wait("document.querySelectorAll('#hits li')[1].querySelector('pre').innerText.includes('title')")
    assert page.run("document.activeElement.getAttribute('aria-expanded')") == "true"
    page.press("ArrowUp")
    page.press("ArrowUp")
    assert page.run("document.activeElement.id") == "search-text"
    page.press("Escape")
    page.press("3")
    page.wait("!document.querySelector('#indices').hidden")
    assert page.problems == []


def test_a_document_is_shown_as_it_was_given(page: Page, url: str) -> None:
    """Digits that a browser's numbers cannot hold included."""
    load(url, "books", {"a/b ?#": {"title": "Dune", "code": 12345678901234567}})
    page.go(f"{url}/_console")
    look_for(page, "dune", 1)
    page.click("#hits .title")
    page.wait("document.querySelector('#hits pre').innerText.includes('code')")
    assert page.text("#hits pre") == '{\n  "title": "Dune",\n  "code": 12345678901234567\n}'


def test_without_an_index_it_says_so(page: Page, url: str) -> None:
    page.go(f"{url}/_console")
    page.wait("document.querySelector('#search-status').innerText.startsWith('0 documents')")
    page.press("Escape")
    page.press("3")
    page.wait("!document.querySelector('#no-indices').hidden")
    assert page.problems == []


def test_what_the_server_refuses_is_told(browser: Browser) -> None:
    page = browser.page()
    with Server() as server:
        load(server.url, "books", BOOKS)
        page.go(f"{server.url}/_console#/search?index=none&q=dune")
        page.wait("!document.querySelector('#search-problem').hidden")
        assert "no such index [none]" in page.text("#search-problem")
    page.fill("#search-text", "emma")
    page.wait("document.querySelector('#search-problem').innerText === 'The server does not answer.'")


# ----------------------------------------------------------------------------------------- query and indices


def test_a_request_is_sent_and_its_answer_shown(page: Page, url: str) -> None:
    load(url, "books", BOOKS)
    page.go(f"{url}/_console#/query")
    page.fill("#query-path", "/books/_search")
    page.fill("#query-body", '{"query": {"match": {"title": "emma"}}}')
    page.press("Enter", control=True)
    page.wait("document.querySelector('#query-answer').innerText.includes('matchmaker')")
    assert page.text("#query-status").startswith("200 · ")
    assert '"_id": "emma"' in page.text("#query-answer")
    page.fill("#query-body", '{"query": {"macth": {}}}')
    page.press("Enter", control=True)
    page.wait("document.querySelector('#query-status').innerText.startsWith('400')")
    assert "did you mean" in page.text("#query-answer")


def test_lines_are_sent_as_lines(page: Page, url: str) -> None:
    page.go(f"{url}/_console#/query")
    page.fill("#query-path", "/_bulk?refresh=true")
    page.fill("#query-body", '{"index": {"_index": "books", "_id": "1"}}\n{"title": "Dune"}')
    page.press("Enter", control=True)
    page.wait("document.querySelector('#query-status').innerText.startsWith('200')")
    assert httpx.get(f"{url}/books/_source/1", trust_env=False).json() == {"title": "Dune"}


def test_a_path_to_another_host_is_not_sent(page: Page, url: str) -> None:
    page.go(f"{url}/_console#/query")
    for path in ("//example.org/_search", "/\\example.org/", "/\t/example.org/"):
        page.run(f"document.querySelector('#query-path').value = {json.dumps(path)}")
        page.click("#query-form button")
        page.wait("document.querySelector('#query-status').innerText.includes('another host')")
        page.run("document.querySelector('#query-status').textContent = ''")
    assert all(asked.startswith(f"{url}/") for asked in page.requests)


def test_indices_are_listed_with_their_sizes_and_follow_what_is_written(page: Page, url: str) -> None:
    load(url, "books", BOOKS)
    page.go(f"{url}/_console#/indices")
    page.wait("document.querySelectorAll('#index-rows tr').length === 1")
    name, health, documents, deleted, size = page.text("#index-rows tr").split("\t")[:5]
    assert (name, health, documents, deleted) == ("books", "yellow", "2", "0")
    assert size.strip().endswith("KB")
    load(url, "films", {"1": {"title": "Lynch"}})
    page.wait("document.querySelectorAll('#index-rows tr').length === 2")
    page.wait("[...document.querySelectorAll('.tile')].some(tile => tile.innerText === 'Documents\\n3')")
    page.click("#index-rows a[data-index=films]")
    page.wait("document.querySelector('#index-json').innerText.includes('mappings')")
    assert page.text("#index-title") == "films"
    page.click("#index-search")
    page.wait("document.querySelector('#hits .title')?.innerText === 'Lynch'")
    assert page.problems == []


def test_what_happens_at_the_moment_is_counted(page: Page, url: str) -> None:
    def tile(name: str) -> str:
        return f"[...document.querySelectorAll('.tile')].find(tile => tile.innerText.startsWith({name!r}))"

    page.go(f"{url}/_console#/indices")
    page.wait(f"{tile('Searches')} && {tile('Writes')}")
    for number in range(100):
        load(url, "busy", {str(number): {"n": number}})
        assert httpx.get(f"{url}/busy/_search", trust_env=False).status_code == 200
        if page.run(f"[{tile('Searches')}, {tile('Writes')}].every(each => /\\n[1-9]/.test(each.innerText))"):
            break
        time.sleep(0.1)
    else:
        raise AssertionError(page.text("#tiles"))
    assert page.run(
        "[...document.querySelectorAll('polyline')].every(line => line.getAttribute('points').includes(' '))"
    )


# ---------------------------------------------------------------------------------------------------- looks


def test_nothing_is_wider_than_a_phone(page: Page, url: str) -> None:
    load(url, "books", BOOKS)
    load(url, "x" * 200, {"y" * 400: {"title": "w" * 3_000, "plot": "desert " + "z" * 3_000}})
    page.look(390, 800)
    page.go(f"{url}/_console#/search?q=desert")
    page.wait("document.querySelectorAll('#hits li').length === 2")
    for view in ("search", "query", "indices"):
        page.run(f"location.hash = '#/{view}'")
        page.wait(f"!document.querySelector('#{view}').hidden")
        assert page.run("document.documentElement.scrollWidth") <= 390, view


def test_colours_follow_the_system_until_one_is_chosen(page: Page, url: str) -> None:
    def paper() -> int:
        shown: str = page.run("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in shown[4:-1].split(","))

    page.look(1200, 800, dark=True)
    page.go(f"{url}/_console")
    page.wait("document.querySelector('#theme').textContent")
    assert paper() < 200
    page.look(1200, 800)
    assert paper() > 600
    page.click("#theme")
    page.click("#theme")
    assert paper() < 200
    page.go(f"{url}/_console?")
    page.wait("document.querySelector('#theme').textContent")
    assert paper() < 200
