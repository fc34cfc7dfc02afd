"""The files of the search page: what they say to a browser, and what they do without."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import quidditch

from .asking import Server

FOLDER = Path(quidditch.__file__).parent / "server" / "console"
FILES = sorted(path.name for path in FOLDER.iterdir())


def test_the_page_is_there_with_all_that_it_names(server: Server) -> None:
    page = server("GET", "/_console")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=UTF-8"
    assert page.content == (FOLDER / "index.html").read_bytes()
    named = set(re.findall(r'"/_console/([\w.]+)"', page.text))
    named |= {
        name for path in FOLDER.glob("*.js") for name in re.findall(r'from "\./([\w.]+)"', path.read_text())
    }
    assert named | {"index.html"} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_served_under_the_policy(server: Server, name: str) -> None:
    answer = server("GET", f"/_console/{name}")
    assert answer.content == (FOLDER / name).read_bytes()
    policy = answer.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"} <= set(
        policy
    )
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["app.py", "..%2Fapp.py", "%2e%2e%2fapp.py", "..%5Capp.py", "%00", "x/app.js"]
)
def test_nothing_else_is_served(server: Server, path: str) -> None:
    assert server("GET", f"/_console/{path}").status_code in (400, 404)


@pytest.mark.parametrize("name", FILES)
def test_nothing_inline_nothing_foreign_and_no_markup_from_text(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert "http:" not in text
    assert "https:" not in text
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "<style",
        " style=",
    ):
        assert forbidden not in text
    assert not re.search(r"<script(?![^>]* src=)|\son[a-z]+=", text)
