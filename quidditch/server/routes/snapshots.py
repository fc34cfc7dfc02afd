"""Snapshots: repositories, taking, listing, verifying, deleting, restoring. A snapshot that was asked for is answered
once it is there, whether it is to be waited for or not."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from quidditch.interface import KeepsSnapshots, Snapshots
from quidditch.patterns import matches
from quidditch.server.call import ACKNOWLEDGED, Call, Reply
from quidditch.server.failures import RestError
from quidditch.server.rendering.tables import PARAMETERS, Column, Table
from quidditch.server.resolving import resolve
from quidditch.server.routes.indices import WAITS
from quidditch.server.routing import Routes
from quidditch.server.security.grants import Level
from quidditch.server.security.guarding import without_guard

if TYPE_CHECKING:
    from quidditch.snapshots.repository import Manifest, Repository

routes = Routes(reads="cluster read", changes="cluster admin")

_ONE = "/_snapshot/{repository}/{snapshot}"
_BODY = ("indices", "ignore_unavailable", "include_global_state", "partial", "metadata")
_RESTORE_BODY = (
    "indices",
    "ignore_unavailable",
    "include_global_state",
    "include_aliases",
    "partial",
    "rename_pattern",
    "rename_replacement",
    "index_settings",
)


def _snapshots(call: Call) -> Snapshots:
    """Of the whole cluster: which indices the caller may have in them is for each route to check."""
    database = without_guard(call.database)
    if not isinstance(database, KeepsSnapshots):
        raise RestError(
            "this server is over a directory, of which `quidditch backup` makes copies; snapshots are of a cluster",
            400,
            "repository_exception",
        )
    return database.snapshots


def _check_rights(call: Call, names: Iterable[str], level: Level) -> None:
    """raises: RestError   403: whoever may look after the cluster may not thereby read or replace every index"""
    for name in names:
        if not call.caller.may(name, level):
            raise call.caller.denied(level.word, name)


def _repository(call: Call) -> Repository:
    return _snapshots(call).repository(call.parts["repository"])


# -------------------------------------------------------------------------------------------- repositories


@routes("PUT POST", "/_snapshot/{repository}", takes=f"verify {WAITS}")
def put_repository(call: Call) -> Reply:
    body = call.required()
    settings = body.get("settings")
    location = settings.get("location") if isinstance(settings, dict) else None
    name = call.parts["repository"]
    if body.get("type") != "fs":
        raise RestError(
            f"[{name}]: type: [fs] expected, not [{body.get('type')}]", 400, "repository_exception"
        )
    if not isinstance(location, str) or not location:
        raise RestError(f"[{name}] missing location", 400, "repository_exception")
    _snapshots(call).register(name, location)
    return ACKNOWLEDGED


@routes("GET", "/_snapshot", "/_snapshot/{repository}", takes=f"local {WAITS}")
def get_repository(call: Call) -> Reply:
    known, wanted = _snapshots(call).repositories(), call.parts.get("repository", "_all")
    found = {name: where for name, where in known.items() if _matches(name, wanted)}
    if not found and wanted not in ("_all", "*"):
        raise RestError(f"[{wanted}] missing", 404, "repository_missing_exception")
    return Reply({name: {"type": "fs", "settings": {"location": where}} for name, where in found.items()})


@routes("DELETE", "/_snapshot/{repository}", takes=WAITS)
def delete_repository(call: Call) -> Reply:
    _snapshots(call).forget(call.parts["repository"])
    return ACKNOWLEDGED


@routes("POST", "/_snapshot/{repository}/_verify", takes=WAITS)
def verify_repository(call: Call) -> Reply:
    """Whether this server reaches it; data nodes need not."""
    _repository(call).names()
    return Reply({"nodes": {call.state.node_id: {"name": call.state.node_name}}})


@routes("POST", "/_snapshot/{repository}/_cleanup", takes=WAITS)
def cleanup(call: Call) -> Reply:
    """Remove what killed processes left."""
    return Reply({"results": {"deleted_bytes": _repository(call).sweep(), "deleted_blobs": 0}})


# ------------------------------------------------------------------------------------------------ snapshots


@routes("PUT POST", _ONE, takes=f"wait_for_completion {WAITS}")
def create(call: Call) -> Reply:
    body = _checked(call.object(), _BODY)
    names = _named(call, body)
    _check_rights(call, without_guard(call.database).indices() if names is None else names, Level.READ)
    made = _snapshots(call).take(call.parts["repository"], call.parts["snapshot"], names)
    if call.parameters.flag("wait_for_completion"):
        return Reply({"snapshot": _shown(made)})
    return Reply({"accepted": True})


def _named(call: Call, body: dict[str, Any]) -> list[str] | None:
    """The indices that a body names, by patterns and aliases too; None for all."""
    if "indices" not in body:
        return None
    parts = _listed(body["indices"]).split(",")
    if body.get("ignore_unavailable"):
        parts = [part for part in parts if "*" in part or part == "_all" or part in call.database]
    return resolve(call, ",".join(parts), closed=True, expand="open,closed").indices if parts else []


@routes("GET", _ONE, takes=f"ignore_unavailable verbose {WAITS}")
def get(call: Call) -> Reply:
    return Reply({"snapshots": [_shown(one) for one in _found(call)]})


@routes("GET", f"{_ONE}/_status", takes=f"ignore_unavailable {WAITS}")
def status(call: Call) -> Reply:
    """As `GET`, with the sizes of shards; what is being made is no snapshot yet."""
    return Reply({"snapshots": [_status(call, one) for one in _found(call)]})


def _status(call: Call, one: Manifest) -> dict[str, Any]:
    total = len(list(one.files()))
    indices = {
        name: {
            "shards": {
                str(number): {"stage": "DONE", "stats": {"total": {"size_in_bytes": file.size_bytes}}}
                for number, file in enumerate(part.shards)
            }
        }
        for name, part in one.indices.items()
    }
    return {
        "snapshot": one.name,
        "repository": call.parts["repository"],
        "uuid": one.id,
        "state": "SUCCESS",
        "shards_stats": {"done": total, "failed": 0, "total": total},
        "stats": {"total": {"file_count": total, "size_in_bytes": one.size_bytes}},
        "indices": indices,
    }


@routes("DELETE", _ONE, takes=WAITS)
def delete(call: Call) -> Reply:
    repository = _repository(call)
    for name in call.parts["snapshot"].split(","):
        repository.delete(name)
    return ACKNOWLEDGED


@routes("POST", f"{_ONE}/_verify", takes=WAITS)
def verify(call: Call) -> Reply:
    """Read every byte of a snapshot; `damages` names the files that are not what was written."""
    repository, name = _repository(call), call.parts["snapshot"]
    damages = repository.damages(name)
    return Reply({"snapshot": name, "repository": call.parts["repository"], "damages": damages})


@routes("POST", f"{_ONE}/_restore", takes=f"wait_for_completion {WAITS}")
def restore(call: Call) -> Reply:
    from quidditch.snapshots.wish import Wish

    body = _checked(call.object(), _RESTORE_BODY)
    repository, snapshot = call.parts["repository"], call.parts["snapshot"]
    there = _repository(call).manifest(snapshot).indices
    names = None
    if "indices" in body:
        wanted = _listed(body["indices"])
        names = [name for name in there if _matches(name, wanted)]
        names += [] if body.get("ignore_unavailable") else _missing(wanted, names)
    wish = Wish(
        names,
        str(body.get("rename_pattern", "")),
        str(body.get("rename_replacement", "")),
        _settings(body.get("index_settings", {})),
        aliases=bool(body.get("include_aliases", True)),
        templates=bool(body.get("include_global_state", False)),
    )
    named = wish.names(list(there), snapshot)
    aliases = [alias for name in named if wish.aliases for alias in there[name].aliases]
    _check_rights(call, [*named, *named.values(), *aliases], Level.ADMIN)
    restored = _snapshots(call).restore(repository, snapshot, wish)
    if not call.parameters.flag("wait_for_completion"):
        return Reply({"accepted": True})
    total = sum(restored.values())
    shards = {"total": total, "failed": 0, "successful": total}
    return Reply({"snapshot": {"snapshot": snapshot, "indices": list(restored), "shards": shards}})


def _settings(given: Any) -> dict[str, Any]:
    """Settings by their plain names, however they were nested."""
    if not isinstance(given, dict):
        raise RestError("index_settings: an object expected", 400, "parse_exception")
    inner = given.get("index", {})
    if not isinstance(inner, dict):
        raise RestError("index_settings: index: an object expected", 400, "parse_exception")
    flat = {name: value for name, value in given.items() if name != "index"} | inner
    return {name.removeprefix("index."): value for name, value in flat.items()}


def _checked(body: dict[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    for key in body:
        if key not in known:
            raise RestError(f"Unknown parameter {key}; there are {', '.join(known)}")
    return body


def _listed(given: Any) -> str:
    if isinstance(given, list) and given and all(isinstance(each, str) for each in given):
        return ",".join(given)
    if not isinstance(given, str) or not given:
        raise RestError("malformed indices section, should be an array of strings")
    return given


def _matches(name: str, wanted: str) -> bool:
    return any(part == "_all" or matches(name, part) for part in wanted.split(","))


def _missing(wanted: str, found: list[str]) -> list[str]:
    return [part for part in wanted.split(",") if "*" not in part and part != "_all" and part not in found]


def _found(call: Call) -> list[Manifest]:
    """The snapshots that the path names. raises: SnapshotNotFound   one of them is not there"""
    repository, wanted = _repository(call), call.parts["snapshot"]
    names = [name for name in repository.names() if _matches(name, wanted)]
    if not call.parameters.flag("ignore_unavailable"):
        names += _missing(wanted, names)
    return [repository.manifest(name) for name in names]


def _shown(one: Manifest) -> dict[str, Any]:
    total = len(list(one.files()))
    return {
        "snapshot": one.name,
        "uuid": one.id,
        "indices": list(one.indices),
        "data_streams": [],
        "include_global_state": True,
        "state": "SUCCESS",
        "start_time": _time(one.started_ms),
        "start_time_in_millis": one.started_ms,
        "end_time": _time(one.ended_ms),
        "end_time_in_millis": one.ended_ms,
        "duration_in_millis": one.ended_ms - one.started_ms,
        "failures": [],
        "shards": {"total": total, "failed": 0, "successful": total},
    }


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# ---------------------------------------------------------------------------------------------------- _cat


_SNAPSHOTS = (
    Column("id", ("snapshot",), "unique snapshot"),
    Column("status", ("s",), "snapshot name"),
    Column("start_epoch", ("ste", "startEpoch"), "start time in seconds since 1970-01-01 00:00:00"),
    Column("start_time", ("sti", "startTime"), "start time in HH:MM:SS"),
    Column("end_epoch", ("ete", "endEpoch"), "end time in seconds since 1970-01-01 00:00:00"),
    Column("end_time", ("eti", "endTime"), "end time in HH:MM:SS"),
    Column("duration", ("dur",), "duration"),
    Column("indices", ("i",), "number of indices", right=True),
    Column("successful_shards", ("ss",), "number of successful shards", right=True),
    Column("failed_shards", ("fs",), "number of failed shards", right=True),
    Column("total_shards", ("ts",), "number of total shards", right=True),
    Column("reason", ("r",), "reason for failures"),
)
_REPOSITORIES = (
    Column("id", ("repoId",), "unique repository id"),
    Column("type", ("t",), "repository type"),
)


@routes("GET", "/_cat/snapshots", "/_cat/snapshots/{repository}", takes=f"ignore_unavailable {PARAMETERS}")
def cat_snapshots(call: Call) -> Reply:
    table = Table(_SNAPSHOTS)
    if not call.parameters.flag("help"):
        snapshots = _snapshots(call)
        wanted = call.parts.get("repository", "_all")
        names = [name for name in snapshots.repositories() if _matches(name, wanted)]
        for name in [*names, *_missing(wanted, names)]:
            repository = snapshots.repository(name)
            table.rows += [_row(repository.manifest(one)) for one in repository.names()]
    return table.reply(call)


def _row(one: Manifest) -> list[Any]:
    total = len(list(one.files()))
    moments: list[Any] = []
    for ms in (one.started_ms, one.ended_ms):
        moments += [ms // 1000, time.strftime("%H:%M:%S", time.gmtime(ms // 1000))]
    took = f"{one.ended_ms - one.started_ms}ms"
    return [one.name, "SUCCESS", *moments, took, len(one.indices), total, 0, total, ""]


@routes("GET", "/_cat/repositories", takes=PARAMETERS)
def cat_repositories(call: Call) -> Reply:
    table = Table(_REPOSITORIES)
    if not call.parameters.flag("help"):
        table.rows = [[name, "fs"] for name in _snapshots(call).repositories()]
    return table.reply(call)
