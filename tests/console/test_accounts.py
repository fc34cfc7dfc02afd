"""The page of a server with accounts: the browser asks who one is, and the page shows what that one may see."""

from __future__ import annotations

from pathlib import Path

from server.securing import PASSWORD, add_role, add_user, basic, serving

from .chromium import Browser
from .test_page import titles


def test_a_reader_sees_what_is_his(browser: Browser, tmp_path: Path) -> None:
    add_role(tmp_path, "logs", {"logs-*": "read"})
    add_user(tmp_path, "boss", "admin")
    add_user(tmp_path, "mary", "logs")
    page = browser.page()
    with serving(tmp_path) as http:
        for index in ("logs-1", "secret"):
            document = {"title": f"the word in {index}"}
            written = http.put(f"/{index}/_doc/1", json=document, headers=basic("boss"))
            assert written.status_code == 201
        assert http.get("/_console").status_code == 401
        place = str(http.base_url.copy_with(username="mary", password=PASSWORD)).rstrip("/")
        page.go(f"{place}/_console#/search?q=word")
        page.wait("document.querySelectorAll('#hits li').length")
        assert titles(page) == ["the word in logs-1"]
        page.press("Escape")
        page.press("3")
        page.wait("document.querySelectorAll('#index-rows tr').length === 1")
        assert "secret" not in page.run("document.body.innerText")
