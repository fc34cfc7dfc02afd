"""The law of what is hidden: an answer is the same whether the indices of others are there or not."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quidditch
from quidditch.interface import Database
from quidditch.server.routes import GROUPS
from quidditch.server.routing import RouteTable
from quidditch.server.state import State

from .securing import Asker, Secured, add_key, add_role, api_key

ROUTES = [route for route in RouteTable(GROUPS).routes if route.method == "GET"]

NAMES = (
    "logs-1",
    "logs-2",
    "logs",
    "logs-shut",
    "logs-none",
    "mixed",
    "secret-1",
    "secret-2",
    "secrets",
    "none",
    "_all",
    "*",
)
PATTERNS = (
    "log*",
    "sec*",
    "s?cret-1",
    "*-1",
    "s[e]cret*",
    "*mixed*",
    "-secret-1",
    "-logs-1",
    "-*",
    "",
    "<logs-{now}>",
)
VALUES = {
    "allow_no_indices": ("true", "false"),
    "bytes": ("b",),
    "error_trace": ("true",),
    "expand_wildcards": ("all", "none", "open,closed", "closed", "hidden"),
    "fields": ("*", "title", "hidden"),
    "flat_settings": ("true",),
    "format": ("json", "yaml"),
    "h": ("*", "index", "alias,index"),
    "health": ("yellow",),
    "help": ("true",),
    "ignore_unavailable": ("true", "false"),
    "include_defaults": ("true",),
    "include_unmapped": ("true",),
    "index": NAMES,
    "keep_alive": ("1m",),
    "level": ("cluster", "indices", "shards"),
    "q": ("spy", "title:logs", "*:*"),
    "s": ("index", "docs.count:desc"),
    "size": ("0", "20"),
    "sort": ("_score", "title.keyword"),
    "v": ("true",),
    "wait_for_status": ("green", "yellow"),
}
"""Of each parameter that could make an answer depend on an index, some values."""

BODIES: tuple[Any, ...] = (
    {"query": {"match": {"title": "spy"}}},
    {"query": {"query_string": {"query": "_index:secret-1 OR title:logs"}}},
    {"query": {"term": {"_index": "secret-1"}}},
    {"size": 0, "aggs": {"x": {"terms": {"field": "_index"}}}},
    {"docs": [{"_index": name, "_id": "1"} for name in NAMES]},
    {"ids": ["1"]},
    {"text": "spy", "field": "title"},
    [part for name in NAMES for part in ({"index": name}, {})],
)


def fill(database: Database) -> None:
    """What the caller may see."""
    for name in ("logs-1", "logs-2", "logs-shut"):
        database.create_index(name).add({"title": f"of {name}"}, "1")
    database.update_aliases([{"add": {"index": "logs-*", "alias": "logs"}}])
    database.close_index("logs-shut")


def hide(database: Database) -> None:
    """What he may not."""
    for name in ("secret-1", "secret-2"):
        database.create_index(name).add({"title": "a spy of logs", "hidden": 7, "logs": 1}, "1")
    database.close_index("secret-2")
    add = [("secret-1", "secrets"), ("secret-2", "secrets"), ("secret-1", "mixed"), ("logs-1", "mixed")]
    database.update_aliases([{"add": {"index": index, "alias": alias}} for index, alias in add])


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Asker, Asker]]:
    """One caller of two servers that hold the same, to the last uuid, but for what is hidden in the second."""
    folder = tmp_path_factory.mktemp("worlds")
    with quidditch.connect(folder / "plain") as database:
        fill(database)
    shutil.copytree(folder / "plain", folder / "more")
    add_role(folder, "logs", {"logs-*": "read", "logs": "read"}, "read")
    add_key(folder, "k1", "logs")
    state = State(started_s=0.0)
    with quidditch.connect(folder / "plain") as plain, quidditch.connect(folder / "more") as more:
        hide(more)
        yield (
            Asker(Secured(plain, folder, state), api_key("k1")),
            Asker(Secured(more, folder, state), api_key("k1")),
        )


NAME = st.sampled_from(NAMES + PATTERNS)
EXPRESSION = st.lists(NAME, min_size=1, max_size=3).map(",".join)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, Any]:
    """A method, a path with parameters, and a body."""
    route = draw(st.sampled_from(ROUTES))
    parts: dict[str, Any] = {
        "index": EXPRESSION,
        "name": EXPRESSION,
        "id": st.just("1"),
        "fields": st.just("*"),
    }
    path = route.template
    for part in re.findall(r"{(\w+)}", path):
        path = path.replace(
            f"{{{part}}}", quote(draw(parts.get(part, st.sampled_from(("_all", "x:1")))), safe="*,")
        )
    known = sorted(VALUES.keys() & (route.takes | {"format", "error_trace"}))
    chosen = draw(st.lists(st.sampled_from(known), max_size=3, unique=True))
    given = {name: draw(st.sampled_from(VALUES[name])) for name in chosen}
    body = draw(st.sampled_from(BODIES)) if draw(st.booleans()) else None
    return draw(st.sampled_from(("GET", "GET", "HEAD"))), f"{path}?{urlencode(given)}", body


PASSING = r'"took": ?\d+|"(_scroll_id|pit_id)": ?"[^"]+"|"?\d{10,}"?|\d\d:\d\d:\d\d|\d{6,}s'
"""What differs between two answers whatever is there: times, and ids made at random."""


def seen(answer: httpx.Response) -> tuple[int, str]:
    """All that an answer says, but for what is PASSING."""
    if answer.text.startswith("# HELP"):
        # The numbers of the whole process, for who may read its state; they name no index.
        return answer.status_code, re.sub(r" [0-9.e+-]+\n", "\n", answer.text)
    return answer.status_code, re.sub(PASSING, "", answer.text)


@settings(max_examples=200, deadline=None)
@given(request=requests())
def test_no_get_tells_whether_an_index_of_others_is_there(
    worlds: tuple[Asker, Asker], request: tuple[str, str, Any]
) -> None:
    plain, more = worlds
    method, path, body = request
    without, having = plain(method, path, body), more(method, path, body)
    assert seen(having) == seen(without)


def test_the_worlds_differ_for_who_may_see_it(worlds: tuple[Asker, Asker]) -> None:
    """So that the law could fail: what is hidden is there, and would be told."""
    plain, more = worlds
    texts = [Asker(world.server, {})("GET", "/", None).status_code for world in worlds]
    assert texts == [401, 401]
    add_key(getattr(more.server, "directory"), "all", "reader")  # noqa: B009
    for path in (
        "/_search",
        "/_cat/indices",
        "/_cluster/health",
        "/_alias",
        "/_stats",
        "/_field_caps?fields=*",
        "/secret-1",
    ):
        everything = Asker(more.server, api_key("all")), Asker(plain.server, api_key("all"))
        assert seen(everything[0]("GET", path)) != seen(everything[1]("GET", path)), path
