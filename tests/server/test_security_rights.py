"""What a caller may do: by route, by index, through aliases, and in bodies that name indices."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import quidditch
from quidditch.interface import Index
from quidditch.server.routes import GROUPS
from quidditch.server.routing import Route, RouteTable
from quidditch.server.security.grants import Level
from quidditch.server.security.guarding import NEEDED, GuardedDatabase

from .securing import Asker, Secured, add_role, add_user, api_key, basic

ROUTES = RouteTable(GROUPS).routes


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Secured]:
    """Indices logs-1, logs-2 and secret, a document each; aliases logs, all, and of-secret."""
    add_user(tmp_path, "root", "admin")
    with quidditch.connect(":memory:") as database:
        for name in ("logs-1", "logs-2", "secret"):
            database.create_index(name).add({"title": "a spy" if name == "secret" else f"of {name}"}, "1")
        add = [("logs-*", "logs"), ("*", "all"), ("secret", "of-secret")]
        database.update_aliases([{"add": {"index": index, "alias": alias}} for index, alias in add])
        yield Secured(database, tmp_path)


@pytest.fixture
def reader(secured: Secured) -> Asker:
    """May read the logs."""
    return secured.having({"logs-*": "read"}, name="reader")


@pytest.fixture
def writer(secured: Secured) -> Asker:
    """May write the logs, and read the first of some books."""
    return secured.having({"logs-*": "write", "books-1": "read"}, name="writer")


@pytest.fixture
def owner(secured: Secured) -> Asker:
    """May do everything with the logs."""
    return secured.having({"logs*": "admin"}, name="owner")


@pytest.fixture
def root(secured: Secured) -> Asker:
    return Asker(secured, basic("root"))


def shown(response: Any) -> list[str]:
    """The indices of a search's hits."""
    return sorted(hit["_index"] for hit in response.json()["hits"]["hits"])


# ------------------------------------------------------------------------------------------------ the table


def path_of(route: Route, index: str) -> str:
    parts = {"index": index, "id": "1", "name": "x", "metric": "_all", "fields": "*", "scroll_id": "x"}
    parts |= {"node_id": "x", "task_id": "x:1", "index_metric": "_all"}
    path = route.template + ("?keep_alive=1m" if "point_in_time" in route.template else "")
    for name, value in parts.items():
        path = path.replace(f"{{{name}}}", value)
    return path


BODIES: dict[str, Any] = {
    "_alias": {"alias": "logs-x"},
    "_analyze": {"text": "x"},
    "_bulk": [{"index": {"_id": "9"}}, {"x": 1}],
    "_by_query": {"query": {"match_all": {}}},
    "_explain": {"query": {"match_all": {}}},
    "_field_caps": {"fields": ["*"]},
    "_mget": {"ids": ["1"]},
    "_msearch": [{}, {"size": 1}],
    "_settings": {"refresh_interval": "5s"},
    "_update": {"doc": {"x": 1}},
    "point_in_time": {},
}
"""A body that is right for the routes with a word in their path, and empty for others."""


def told(route: Route) -> str:
    return f"{route.method} {route.template}"


def test_every_route_needs_something_of_its_caller(secured: Secured) -> None:
    """Somebody who may do nothing gets 403 wherever something is needed, whatever else is wrong with the request."""
    nobody = secured.having({}, name="nobody")
    free = []
    for route in ROUTES:
        answer = nobody(route.method, path_of(route, "logs-1"))
        if answer.status_code in (200, 404):
            free.append(route.template)
            continue
        assert answer.status_code == 403, told(route)
        assert answer.json()["error"]["type"] == "security_exception"
        assert "nobody" in answer.json()["error"]["reason"]
    assert free == ["/", "/_cat", "/_console", "/_console/{file}"]


def test_who_may_read_everything_changes_nothing(secured: Secured) -> None:
    reader = secured.having({"*": "read"}, "read", name="all")
    for route in ROUTES:
        if route.needs.level > Level.READ:
            answer = reader(route.method, path_of(route, "logs-1"), {"query": {"match_all": {}}})
            assert answer.status_code == 403, told(route)
    changing = {
        route.template for route in ROUTES if route.method != "GET" and route.needs.level is Level.READ
    }
    reading = {route.template for route in ROUTES if route.method == "GET"}
    assert changing - reading == {
        "/_index_template/_simulate",
        "/_index_template/_simulate/{name}",
        "/_index_template/_simulate_index/{name}",
        "/_reindex",
        "/{index}/_search/point_in_time",
        "/_search/point_in_time",
        "/_quidditch/_search",
        "/_quidditch/indices/{index}/_search",
    }, "what is no GET and needs no more than reading is written down here"


def test_every_route_refuses_an_index_of_others(secured: Secured) -> None:
    """With all rights on some indices, another one is refused in the same words as one that is not there."""
    owner = secured.having({"logs*": "admin"}, "admin", name="owner")
    for route in ROUTES:
        if "{index}" not in route.template:
            continue
        body: Any = next((body for word, body in BODIES.items() if word in route.template), {})
        answers = set()
        for index in ("secret", "of-secret", "all", "none-such"):
            answer = owner(route.method, path_of(route, index), body)
            answers.add((answer.status_code, re.sub(r'"took":\d+', "", answer.text.replace(index, "NAME"))))
        assert len(answers) == 1, (told(route), answers)
        ((status, text),) = answers
        assert "a spy" not in text
        assert status == 403 or "security_exception" in text, (told(route), status, text)
    secret = secured.database.index("secret")
    assert len(secret) == 1
    assert secret.get("1").source == {"title": "a spy"}


def test_every_call_of_an_index_has_a_level() -> None:
    public = {name for name in vars(Index) if not name.startswith("_")}
    levels = [name for names in NEEDED.values() for name in names.split()]
    assert public - {"backup"} <= set(levels)
    assert len(levels) == len(set(levels))


def test_a_call_of_a_database_that_is_not_guarded_is_refused(secured: Secured) -> None:
    from quidditch.server.failures import RestError
    from quidditch.server.security.grants import Caller

    guarded: Any = GuardedDatabase(
        secured.database, Caller("x", Level.ADMIN, (("*", Level.ADMIN),)), Level.ADMIN
    )
    for call in ("backup", "close", "compact", "restore", "check"):
        with pytest.raises(RestError) as caught:
            getattr(guarded, call)
        assert caught.value.answer_status == 403
    with pytest.raises(RestError):
        guarded.index("logs-1").backup("/tmp/x")


# --------------------------------------------------------------------------------------------------- reading


def test_patterns_stand_for_what_may_be_seen(reader: Asker, root: Asker) -> None:
    assert shown(root("GET", "/_search")) == ["logs-1", "logs-2", "secret"]
    for path in (
        "/_search",
        "/*/_search",
        "/_all/_search",
        "/logs-*,s*/_search",
        "/log*/_search",
        "/logs/_search",
    ):
        assert shown(reader("GET", path)) == ["logs-1", "logs-2"], path
    assert reader("GET", "/_count").json()["count"] == 2
    assert shown(reader("GET", "/*,-logs-2/_search")) == ["logs-1"]
    assert shown(reader("GET", "/sec*/_search")) == []


@pytest.mark.parametrize(
    "name", ["secret", "of-secret", "all", "none", "logs-1,secret", "logs-*,secret", "logs-1,all"]
)
def test_names_of_others_are_refused(reader: Asker, name: str) -> None:
    for path in (
        f"/{name}/_search",
        f"/{name}/_count",
        f"/{name}",
        f"/_cat/indices/{name}",
        f"/{name}/_mapping",
    ):
        refused = reader("GET", path)
        assert refused.status_code == 403, path
        assert "no permissions for [read]" in refused.json()["error"]["reason"]


def test_lists_hold_what_may_be_seen(reader: Asker, root: Asker) -> None:
    paths = (
        "/_cat/indices",
        "/_cat/aliases",
        "/_cat/shards",
        "/_alias",
        "/_mapping",
        "/_settings",
        "/_stats",
    )
    for path in (*paths, "/_resolve/index/*", "/_field_caps?fields=*", "/*"):
        text = reader("GET", path).text
        assert "logs-1" in text, path
        assert "secret" not in text, path
        assert '"all"' not in text, path
        assert "secret" in root("GET", path).text
    assert reader("GET", "/_alias").json()["logs-1"] == {"aliases": {"logs": {}}}


def test_the_cluster_is_as_large_as_what_may_be_seen(secured: Secured) -> None:
    monitor = secured.having({"logs-*": "read"}, "read", name="monitor")
    assert monitor("GET", "/_cluster/health").json()["active_shards"] == 2
    assert monitor("GET", "/_cluster/stats").json()["indices"]["count"] == 2
    assert set(monitor("GET", "/_cluster/state").json()["metadata"]["indices"]) == {"logs-1", "logs-2"}
    assert monitor("PUT", "/_cluster/settings", {"persistent": {"a.b": 1}}).status_code == 403


def test_what_is_covered_and_not_there_is_not_found(reader: Asker) -> None:
    assert reader("GET", "/logs-9/_search").status_code == 404
    assert reader("HEAD", "/logs-9").status_code == 404
    assert reader("GET", "/secret,logs-1/_search?ignore_unavailable=true").status_code == 200


def test_what_is_near_a_name_is_not_told_where_it_is_of_others(secured: Secured) -> None:
    someone = secured.having({"secret-*": "admin"}, "admin", name="someone")
    for method in ("GET", "DELETE"):
        refused = someone(method, "/_quidditch/indices/secret-1")
        assert refused.status_code == 404
        assert refused.json()["error"]["reason"] == "no such index [secret-1]"


def test_bodies_that_name_indices_are_looked_at(reader: Asker) -> None:
    docs = [{"_index": name, "_id": "1"} for name in ("logs-1", "secret", "of-secret", "none")]
    found = reader("POST", "/_mget", {"docs": docs}).json()["docs"]
    assert found[0]["_source"] == {"title": "of logs-1"}
    assert [each["error"]["type"] for each in found[1:]] == ["security_exception"] * 3
    searches = [part for name in ("logs-1", "secret", "all", "*") for part in ({"index": name}, {"size": 5})]
    answers = reader("POST", "/_msearch", searches).json()["responses"]
    assert [answer["status"] for answer in answers] == [200, 403, 403, 200]
    assert [hit["_index"] for hit in answers[3]["hits"]["hits"]] == ["logs-1", "logs-2"]
    assert reader("POST", "/secret/_msearch", [{}, {}]).json()["responses"][0]["status"] == 403
    assert reader("POST", "/_analyze?index=secret", {"text": "x", "field": "title"}).status_code == 403


# --------------------------------------------------------------------------------------------------- writing


def test_a_bulk_is_looked_at_item_by_item(secured: Secured, writer: Asker) -> None:
    names = ("logs-1", "secret", "of-secret", "all", "none", "books-1", "logs-new")
    sent: list[Any] = [part for name in names for part in ({"index": {"_index": name, "_id": "2"}}, {"x": 1})]
    sent += [
        {"delete": {"_index": "secret", "_id": "1"}},
        {"update": {"_index": "of-secret", "_id": "1"}},
        {"doc": {"x": 1}},
    ]
    answer = writer("POST", "/_bulk?refresh=true", sent).json()
    status = [next(iter(item.values()))["status"] for item in answer["items"]]
    assert status == [201, 403, 403, 403, 403, 403, 201, 403, 403]
    assert answer["errors"] is True
    assert {item["index"]["error"]["type"] for item in answer["items"][1:6]} == {"security_exception"}
    assert len(secured.database.index("secret")) == 1
    assert sorted(secured.database.indices()) == ["logs-1", "logs-2", "logs-new", "secret"]


def test_a_bulk_of_a_reader_is_refused_before_it_is_read(reader: Asker) -> None:
    assert reader("POST", "/_bulk", content=b"no json at all").status_code == 403


def test_writing_makes_an_index_and_changes_none(secured: Secured, writer: Asker) -> None:
    assert writer("PUT", "/logs-3/_doc/1", {"x": 1}).status_code == 201
    assert writer("PUT", "/other/_doc/1", {"x": 1}).status_code == 403
    assert writer("PUT", "/logs-4").status_code == 403
    assert writer("DELETE", "/logs-3").status_code == 403
    assert writer("PUT", "/logs-3/_settings", {"refresh_interval": "5s"}).status_code == 403
    assert writer("PUT", "/logs-3/_mapping", {"properties": {"y": {"type": "keyword"}}}).status_code == 403
    assert writer("POST", "/logs-3/_forcemerge").status_code == 403
    assert writer("POST", "/logs-3/_close").status_code == 403
    assert "logs-3" in secured.database
    assert "logs-4" not in secured.database


def test_copying_needs_reading_here_and_writing_there(secured: Secured, writer: Asker) -> None:
    def copied(source: str, dest: str) -> int:
        return writer("POST", "/_reindex", {"source": {"index": source}, "dest": {"index": dest}}).status_code

    secured.database.create_index("books-1").add({"title": "Dune"}, "7")
    assert copied("books-1", "logs-9") == 200
    assert [copied("secret", "logs-8"), copied("all", "logs-8"), copied("none", "logs-8")] == [403] * 3
    assert [copied("logs-1", "secret"), copied("logs-1", "books-1"), copied("logs-1", "none")] == [403] * 3
    assert sorted(secured.database.indices()) == ["books-1", "logs-1", "logs-2", "logs-9", "secret"]
    assert copied("*", "logs-7") == 200
    assert sorted(hit.id for hit in secured.database.index("logs-7").search(size=9)) == ["1", "7"]


def test_what_matches_is_changed_where_it_may_be(secured: Secured, writer: Asker) -> None:
    everything: Any = {"query": {"match_all": {}}}
    assert writer("POST", "/secret/_delete_by_query", everything).status_code == 403
    assert writer("POST", "/all/_delete_by_query", everything).status_code == 403
    assert writer("POST", "/*/_delete_by_query", everything).json()["deleted"] == 2
    assert len(secured.database.index("secret")) == 1


# ----------------------------------------------------------------------------------------- changing indices


def test_patterns_of_a_change_stand_for_what_may_be_changed(secured: Secured) -> None:
    someone = secured.having({"*": "read", "logs-2": "admin"}, name="someone")
    assert someone("DELETE", "/logs-1").status_code == 403
    assert someone("DELETE", "/*").status_code == 200
    assert sorted(secured.database.indices()) == ["logs-1", "secret"]


def test_an_alias_is_given_by_who_administers_all_of_it(secured: Secured, owner: Asker) -> None:
    def add(index: str, alias: str, **options: Any) -> int:
        action = {"add": {"index": index, "alias": alias, **options}}
        return owner("POST", "/_aliases", {"actions": [action]}).status_code

    assert add("logs-1", "logs-current", is_write_index=True) == 200
    assert add("logs-1", "mine") == 403
    assert add("secret", "logs-secret") == 403
    assert add("*", "logs-everything") == 200
    assert "logs-everything" not in secured.database.describe()["secret"].aliases
    # Leading what others write to an alias of theirs elsewhere.
    assert add("logs-1", "of-secret", is_write_index=True) == 403
    secured.database.update_aliases(
        [{"add": {"index": "secret", "alias": "logs-of-others", "is_write_index": True}}]
    )
    assert add("logs-1", "logs-of-others", is_write_index=True) == 403
    assert add("logs-1", "secret") == 403
    assert owner("PUT", "/logs-1/_alias/of-secret").status_code == 403
    assert owner("PUT", "/logs-9", {"aliases": {"of-secret": {}}}).status_code == 403
    assert "logs-9" not in secured.database
    assert "of-secret" not in secured.database.describe()["logs-1"].aliases


def test_indices_of_others_are_not_removed_with_an_alias(secured: Secured, owner: Asker) -> None:
    for name in ("secret", "none"):
        actions = [{"remove_index": {"index": name}}, {"add": {"index": "logs-1", "alias": "logs-x"}}]
        assert owner("POST", "/_aliases", {"actions": actions}).status_code == 403
        assert owner("DELETE", f"/{name}/_alias/of-secret").status_code == 403
    assert "of-secret" in secured.database.describe()["secret"].aliases


def test_templates_are_the_clusters_and_hold_for_whoever_makes_an_index(
    secured: Secured, root: Asker, owner: Asker, writer: Asker
) -> None:
    template = {"settings": {"refresh_interval": "7s"}, "aliases": {"of-everyone": {}}}
    body = {"index_patterns": ["logs-*"], "template": template}
    assert owner("PUT", "/_index_template/logs", body).status_code == 403
    assert owner("GET", "/_index_template").status_code == 403
    assert root("PUT", "/_index_template/logs", body).status_code == 200
    assert owner("DELETE", "/_index_template/logs").status_code == 403
    # Neither could give this alias by himself.
    assert writer("PUT", "/logs-3/_doc/1", {"x": 1}).status_code == 201
    assert owner("PUT", "/logs-4").status_code == 200
    assert owner("PUT", "/logs-5", {"aliases": {"mine": {}}}).status_code == 403
    infos = secured.database.describe()
    assert "logs-5" not in infos
    for name in ("logs-3", "logs-4"):
        assert set(infos[name].aliases) == {"of-everyone"}
        assert infos[name].settings["refresh_interval"] == "7s"


@pytest.mark.parametrize("pattern", ["logs-[x]", "logs-?", "_all", "Logs", "a,b", "", "logs *"])
def test_a_pattern_of_a_role_is_a_name_with_stars(secured: Secured, pattern: str) -> None:
    """Where patterns mean more, in the engine, `logs-[x]` would be a right on `logs-x`."""
    with pytest.raises(quidditch.RequestError, match="pattern"):
        add_role(secured.directory, "odd", {pattern: "admin"})


# --------------------------------------------------------------------------- scrolls, points in time, tasks


def test_nobody_goes_on_with_the_scroll_of_another(secured: Secured, reader: Asker) -> None:
    other = secured.having({"*": "admin"}, "admin", name="other")
    id = reader("POST", "/logs-*/_search?scroll=1m&size=1", {}).json()["_scroll_id"]
    assert other("POST", "/_search/scroll", {"scroll_id": id}).status_code == 404
    assert other("DELETE", "/_search/scroll", {"scroll_id": id}).status_code == 404
    assert other("DELETE", "/_search/scroll/_all").json()["num_freed"] == 0
    assert (
        len(reader("POST", "/_search/scroll", {"scroll_id": id, "scroll": "1m"}).json()["hits"]["hits"]) == 1
    )
    assert reader("DELETE", "/_search/scroll", {"scroll_id": id}).json()["num_freed"] == 1


def test_nobody_searches_the_point_in_time_of_another(secured: Secured, reader: Asker) -> None:
    other = secured.having({"logs-*": "read"}, name="other")
    id = reader("POST", "/logs-1/_search/point_in_time?keep_alive=1m").json()["pit_id"]
    assert other("POST", "/_search", {"pit": {"id": id}}).status_code == 404
    assert other("GET", "/_search/point_in_time/_all").json()["pits"] == []
    assert other("DELETE", "/_search/point_in_time", {"pit_id": id}).json()["pits"][0]["successful"] is False
    assert shown(reader("POST", "/_search", {"pit": {"id": id}})) == ["logs-1"]


def test_a_right_that_is_taken_away_ends_what_was_opened_with_it(secured: Secured, reader: Asker) -> None:
    scroll = reader("POST", "/logs-1/_search?scroll=1m", {}).json()["_scroll_id"]
    pit = reader("POST", "/logs-1/_search/point_in_time?keep_alive=1m").json()["pit_id"]
    add_role(secured.directory, "role-of-reader", {"logs-2": "read"})
    assert reader("POST", "/_search/scroll", {"scroll_id": scroll}).status_code == 403
    assert reader("POST", "/_search", {"pit": {"id": pit}}).status_code == 403


def test_a_point_in_time_of_several_indices_is_as_far_as_the_rights_on_all(
    secured: Secured, reader: Asker
) -> None:
    id = reader("POST", "/logs-*/_search/point_in_time?keep_alive=1m").json()["pit_id"]
    assert shown(reader("POST", "/_search", {"pit": {"id": id}})) == ["logs-1", "logs-2"]
    other = secured.having({"*": "admin"}, "admin", name="other")
    assert other("POST", "/_search", {"pit": {"id": id}}).status_code == 404
    add_role(secured.directory, "role-of-reader", {"logs-2": "read"})
    assert reader("POST", "/_search", {"pit": {"id": id}}).status_code == 403


def test_nobody_sees_the_tasks_of_another(secured: Secured, owner: Asker) -> None:
    query: Any = {"query": {"match_all": {}}}
    task = owner("POST", "/logs-*/_delete_by_query?wait_for_completion=false", query).json()["task"]
    other = secured.having({"*": "admin"}, "admin", name="other")
    assert other("GET", f"/_tasks/{task}").status_code == 404
    assert task not in other("GET", "/_tasks").text
    assert other("POST", f"/_tasks/{task}/_cancel").status_code == 404
    done = owner("GET", f"/_tasks/{task}?wait_for_completion=true&timeout=30s").json()
    assert done["completed"] is True
    assert done["response"]["deleted"] == 2


def test_a_user_is_not_a_key_of_the_same_name(secured: Secured) -> None:
    user = Asker(secured, basic("root"))
    secured.having({"*": "admin"}, "admin", name="root")
    key = Asker(secured, api_key("id-of-root"))
    id = user("POST", "/logs-1/_search/point_in_time?keep_alive=1m").json()["pit_id"]
    assert key("POST", "/_search", {"pit": {"id": id}}).status_code == 404
