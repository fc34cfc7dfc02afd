"""`_cat` of what lies below indices, and of what a directory has none of."""

from __future__ import annotations

from typing import Any

from quidditch.server.call import Call, Reply
from quidditch.server.overview import Overview, overview, placed
from quidditch.server.rendering.aliases import matching
from quidditch.server.rendering.tables import PARAMETERS, Bytes, Column, Table
from quidditch.server.resolving import OPTIONS, resolve
from quidditch.server.routes.cat import routes as routes
from quidditch.server.templates import INDEX, templates_of
from quidditch.topology import CopyView, ShardView, Size

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
    """A row for each copy, its segments together: what one of them holds is the engine's own affair."""
    table = Table(_SEGMENTS)
    if not call.parameters.flag("help"):
        seen = overview(call, resolve(call).indices, sizes=True)
        for shard in seen.topology.shards:
            for copy, primary in placed(seen, shard):
                if copy.size is not None:
                    table.rows.append(_segments_row(seen, shard, copy, copy.size, primary))
    return table.reply(call)


def _segments_row(seen: Overview, shard: ShardView, copy: CopyView, size: Size, primary: bool) -> list[Any]:
    place = [shard.index, shard.number, "p" if primary else "r", seen.host(copy.node)]
    return [*place, size.segments, size.documents, size.deleted, Bytes(size.size_bytes)]


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
    if not call.parameters.flag("help"):
        seen = overview(call, sizes=True)
        for node in seen.chosen(call.parts.get("node_id", "_all")):
            if "data" in node.roles:
                table.rows.append(_allocation_row(seen, node.name))
        unplaced = 0 if seen.topology.alone else sum(shard.unassigned for shard in seen.topology.shards)
        if unplaced and "node_id" not in call.parts:
            table.rows.append([unplaced, Bytes(None), None, None, "UNASSIGNED"])
    return table.reply(call)


def _allocation_row(seen: Overview, name: str) -> list[Any]:
    held = [copy for shard in seen.topology.shards for copy in shard.copies if copy.node == name]
    size_bytes = sum(copy.size.size_bytes for copy in held if copy.size is not None)
    return [len(held), Bytes(size_bytes), seen.host(name), seen.host(name), name]


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
    Column("source_node", ("snode",), "node that the copy comes from"),
    Column("target_node", ("tnode",), "node that the copy goes to"),
    Column("translog_ops_recovered", ("tor",), "entries of the log that are in it", right=True),
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
    """The zones of nodes that have one."""
    table = Table(_NODEATTRS)
    if not call.parameters.flag("help"):
        seen = overview(call, ())
        for node in seen.nodes:
            if node.zone:
                host = seen.host(node.name)
                table.rows.append([node.name, host, host, "zone", node.zone])
    return table.reply(call)


@routes("GET", "/_cat/recovery", "/_cat/recovery/{index}", takes=f"{PARAMETERS} active_only detailed index")
def recovery(call: Call) -> Reply:
    """The copies of a cluster, and whether each has caught up with its log. A directory has nothing to recover."""
    table = Table(_RECOVERY)
    names = resolve(call, closed=True).indices if "index" in call.parts else None
    seen = overview(call, names)
    if call.parameters.flag("help") or seen.topology.alone:
        return table.reply(call)
    active_only = call.parameters.flag("active_only")
    for shard in seen.topology.shards:
        for copy, _ in placed(seen, shard):
            if not (active_only and copy.serves):
                table.rows.append(_recovery_row(shard, copy))
    return table.reply(call)


def _recovery_row(shard: ShardView, copy: CopyView) -> list[Any]:
    stage = "done" if copy.serves else "translog" if copy.applied else "init"
    source = copy.partner if copy.state == "INITIALIZING" and copy.partner else None
    return [shard.index, shard.number, None, "peer", stage, source, copy.node, copy.applied]
