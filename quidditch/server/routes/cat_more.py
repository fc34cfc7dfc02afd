"""`_cat` of what lies below indices, and of what a directory has none of."""

from __future__ import annotations

from typing import Any

from quidditch.server.call import Call, Reply
from quidditch.server.rendering.aliases import matching
from quidditch.server.rendering.tables import PARAMETERS, Bytes, Column, Table
from quidditch.server.resolving import OPTIONS, resolve
from quidditch.server.routes.cat import routes as routes
from quidditch.server.templates import INDEX, templates_of


def _host(call: Call) -> str:
    return call.state.http_address.rpartition(":")[0]


_SEGMENTS = (
    Column("index", ("i", "idx"), "index name"),
    Column("shard", ("s", "sh"), "shard name"),
    Column("prirep", ("p", "pr", "primaryOrReplica"), "primary or replica"),
    Column("ip", (), "ip of node where it lives"),
    Column("segments", ("sc",), "number of segments", right=True),
    Column("docs.count", ("dc", "docsCount"), "number of docs in the segments", right=True),
    Column("docs.deleted", ("dd", "docsDeleted"), "number of deleted docs in the segments", right=True),
    Column("size", ("si",), "segments size in bytes", right=True),
)


@routes("GET", "/_cat/segments", "/_cat/segments/{index}", takes=f"{PARAMETERS} {OPTIONS}")
def segments(call: Call) -> Reply:
    """A row for each index, its segments together: what one of them holds is the engine's own affair."""
    table = Table(_SEGMENTS)
    if not call.parameters.flag("help"):
        for name in sorted(resolve(call).indices):
            stats = call.database.index(name).stats()
            counts = [stats.segments, stats.documents, stats.deleted, Bytes(stats.size_bytes)]
            table.rows.append([name, 0, "p", _host(call), *counts])
    return table.reply(call)


_ALLOCATION = (
    Column("shards", ("s",), "number of shards on node", right=True),
    Column("disk.indices", ("di", "diskIndices"), "disk used by indices", right=True),
    Column("host", ("h",), "host of node"),
    Column("ip", (), "ip of node"),
    Column("node", ("n",), "name of node"),
)


@routes("GET", "/_cat/allocation", "/_cat/allocation/{node_id}", takes=PARAMETERS, needs="cluster read")
def allocation(call: Call) -> Reply:
    table = Table(_ALLOCATION)
    wanted = call.parts.get("node_id", "_all")
    ours = {"_all", "_local", "*", "_master", "_cluster_manager", call.state.node_id, call.state.node_name}
    if not call.parameters.flag("help") and ours & set(wanted.split(",")):
        infos = call.database.describe()
        sizes = [call.database.index(name).stats().size_bytes for name, of in infos.items() if not of.closed]
        table.rows = [[len(infos), Bytes(sum(sizes)), _host(call), _host(call), call.state.node_name]]
    return table.reply(call)


_TEMPLATES = (
    Column("name", ("n",), "template name"),
    Column("index_patterns", ("t",), "template index patterns"),
    Column("order", ("o", "p"), "template application order/priority number"),
    Column("version", ("v",), "version"),
    Column("composed_of", ("c",), "component templates comprising index template"),
)


@routes("GET", "/_cat/templates", "/_cat/templates/{name}", takes=PARAMETERS, needs="cluster read")
def templates(call: Call) -> Reply:
    table = Table(_TEMPLATES)
    known = {
        key.removeprefix(INDEX): body
        for key, body in templates_of(call.database).items()
        if key.startswith(INDEX)
    }
    for name in sorted(matching(known, call.parts.get("name", "*").split(","))):
        body = known[name]
        patterns, parts = ", ".join(body["index_patterns"]), ", ".join(body.get("composed_of", []))
        row: list[Any] = [name, f"[{patterns}]", body.get("priority", 0), body.get("version"), f"[{parts}]"]
        table.rows.append(row)
    return table.reply(call)


_PLUGINS = (
    Column("name", ("n",), "node name"),
    Column("component", ("c",), "component"),
    Column("version", ("v",), "component version"),
)
_PENDING = (
    Column("insertOrder", ("o",), "task insertion order", right=True),
    Column("timeInQueue", ("t",), "how long task has been in queue", right=True),
    Column("priority", ("p",), "task priority"),
    Column("source", ("s",), "task source"),
)
_NODEATTRS = (
    Column("node", ("name",), "node name"),
    Column("host", ("h",), "host name"),
    Column("ip", ("i",), "ip address"),
    Column("attr", ("attr.name",), "attribute description"),
    Column("value", ("attr.value",), "attribute value"),
)
_RECOVERY = (
    Column("index", ("i", "idx"), "index name"),
    Column("shard", ("s", "sh"), "shard name"),
    Column("time", ("t", "ti"), "recovery time"),
    Column("type", ("ty",), "recovery type"),
    Column("stage", ("st",), "recovery stage"),
)


@routes("GET", "/_cat/plugins", takes=PARAMETERS, needs="cluster read")
def plugins(call: Call) -> Reply:
    """There are none, as in the tables below."""
    return Table(_PLUGINS).reply(call)


@routes("GET", "/_cat/pending_tasks", takes=PARAMETERS, needs="cluster read")
def pending_tasks(call: Call) -> Reply:
    return Table(_PENDING).reply(call)


@routes("GET", "/_cat/nodeattrs", takes=PARAMETERS, needs="cluster read")
def nodeattrs(call: Call) -> Reply:
    return Table(_NODEATTRS).reply(call)


@routes("GET", "/_cat/recovery", "/_cat/recovery/{index}", takes=f"{PARAMETERS} active_only detailed index")
def recovery(call: Call) -> Reply:
    """No shard is ever moved: nothing recovers."""
    if "index" in call.parts:
        resolve(call, closed=True)
    return Table(_RECOVERY).reply(call)
