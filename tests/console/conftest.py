"""A browser and a server for the search page. Without a Chromium these tests are skipped; under CI they fail."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from quidditch_pytest import Server

from .chromium import Browser, Page, executable


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = executable()
    if path is None:
        why = "no Chromium on this machine: the search page is not tested (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
    with Browser(path) as found:
        yield found


@pytest.fixture(scope="package")
def shared_server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def url(shared_server: Server) -> Iterator[str]:
    """Of a server without any index."""
    yield shared_server.url
    shared_server.reset()


@pytest.fixture
def page(browser: Browser) -> Page:
    page = browser.page()
    page.look(1200, 800)
    return page
