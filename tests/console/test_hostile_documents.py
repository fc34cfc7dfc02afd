"""Documents that attack whoever looks at them: they are text on the page, and nothing else."""

from __future__ import annotations

import httpx
import pytest

from .chromium import Page
from .test_page import load, look_for, marks, titles

ATTACKS = [
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "<svg onload=window.pwned=1>",
    "</pre></li><iframe srcdoc='<script>parent.pwned = 1</script>'>",
    "<a href='javascript:window.pwned = 1'>click</a>",
    "<style>* { display: none }</style>",
    "&lt;script&gt;window.pwned = 1&lt;/script&gt;",
    "{{constructor.constructor('window.pwned = 1')()}}",
    "<em>bait</em> <mark>bait</mark>",
    "<plaintext>",
    "' onmouseover='window.pwned = 1",
]


def harmless(page: Page) -> None:
    """Nothing ran, nothing was added that documents could have asked for, and the page still stands."""
    assert page.run("window.pwned") is None
    assert page.dialogs == []
    added = "main :is(script, img, svg:not(.tile svg), iframe, style, em, plaintext, a[href^=javascript])"
    assert page.run(f"document.querySelectorAll({added!r}).length") == 0
    events = "[...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => a.name.startsWith('on')))"
    assert page.run(f"{events}.length") == 0
    assert page.run("getComputedStyle(document.querySelector('header')).display") != "none"
    assert page.problems == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_markup_in_a_document_is_text(page: Page, url: str, attack: str) -> None:
    document = {
        "title": attack,
        "body": f"bait {attack} bait",
        attack.replace("*", "x"): "bait",
        "list": [attack, "x"],
        "inner": {"list": attack},
    }
    load(url, "hostile", {attack: document})
    page.go(f"{url}/_console")
    look_for(page, "bait", 1)
    assert titles(page) == [attack]
    assert set(marks(page)) == {"bait"}
    assert attack in page.text("#hits .meta")
    page.click("#hits .title")
    page.wait("document.querySelector('#hits pre').innerText.includes('list')")
    harmless(page)
    page.run("location.hash = '#/query'")
    page.fill("#query-path", "/hostile/_search")
    page.fill("#query-body", "{}")
    page.press("Enter", control=True)
    page.wait("document.querySelector('#query-answer').innerText.includes('list')")
    page.run("location.hash = '#/indices?index=hostile'")
    page.wait("document.querySelector('#index-json').innerText.includes('mappings')")
    harmless(page)


@pytest.mark.parametrize("attack", ATTACKS)
def test_markup_in_a_link_or_an_error_is_text(page: Page, url: str, attack: str) -> None:
    given = str(httpx.QueryParams({"q": attack, "index": attack}))
    page.go(f"{url}/_console#/search?{given}")
    # A `*` in the name of an index makes it a pattern, which may fit none.
    page.wait("document.querySelector('#search-problem:not([hidden]), #search-status:not(:empty)')")
    assert page.run("document.querySelector('#search-text').value") == attack
    harmless(page)


def test_a_document_cannot_mark_itself(page: Page, url: str) -> None:
    load(url, "books", {"1": {"title": "\ue000x\ue001bait\ue002x\ue003 <em>lure</em> word"}})
    page.go(f"{url}/_console")
    look_for(page, "word", 1)
    assert marks(page) == ["word"]


def test_text_that_turns_the_line_around_stays_in_its_place(page: Page, url: str) -> None:
    load(url, "books", {"\u202eid": {"title": "\u202eevil \u2066word", "__proto__": {"x": 1}}})
    page.go(f"{url}/_console")
    look_for(page, "word", 1)
    for selector in (".title", ".meta bdi:last-of-type"):
        isolated = page.run(
            f"getComputedStyle(document.querySelector({selector!r})).unicodeBidi.startsWith('isolate')"
        )
        assert isolated, selector
    harmless(page)


def test_the_policy_stops_scripts_that_got_in_all_the_same(page: Page, url: str) -> None:
    page.go(f"{url}/_console")
    page.run(
        "(e => { e.append('window.pwned = 1'); document.head.append(e); })(document.createElement('script'))"
    )
    assert page.run("window.pwned") is None
    made = "(() => { try { document.body.innerHTML = '<b>x</b>'; return 'made'; } catch (e) { return e.name; } })()"
    assert page.run(made) == "TypeError"
    assert page.run("fetch('http://example.org/').then(() => 'sent', () => 'stopped')") == "stopped"
    assert any("Content Security Policy" in told for told in page.problems)
