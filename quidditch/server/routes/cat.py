"""`_cat`: what there is, as tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from quidditch.interface import IndexInfo
from quidditch.server import visibility
from quidditch.server.call import Call, Reply
from quidditch.server.overview import Overview, overview, placed, unplaced
from quidditch.server.rendering.aliases import matching
from quidditch.server.rendering.settings import COMPATIBLE, date_text, uuid_of
from quidditch.server.rendering.tables import PARAMETERS, Bytes, Column, Table
from quidditch.server.resolving import OPTIONS, resolve
from quidditch.server.routes.health import health_body, status_of
from quidditch.server.routing import Routes
from quidditch.server.search_bodies import QUERY_STRING, query_of
from quidditch.topology import NodeView, ShardView

routes = Routes()


@routes("GET", "/_cat", needs="nothing")
def listing(call: Call) -> Reply:
    paths = sorted({route.template for route in routes.declared if route.template != "/_cat"})
    return Reply("=^.^=\n" + "".join(f"{path}\n" for path in paths))


_INDICES = (
    Column("health", ("h",), "current health status"),
    Column("status", ("s",), "open/close status"),
    Column("index", ("i", "idx"), "index name"),
    Column("uuid", ("id",), "index uuid"),
    Column("pri", ("p", "shards.primary", "shardsPrimary"), "number of primary shards", right=True),
    Column("rep", ("r", "shards.replica", "shardsReplica"), "number of replica shards", right=True),
    Column("docs.count", ("dc", "docsCount"), "available docs", right=True),
    Column("docs.deleted", ("dd", "docsDeleted"), "deleted docs", right=True),
    Column("creation.date", ("cd",), "index creation date (millisecond value)", shown=False),
    Column("creation.date.string", ("cds",), "index creation date (as string)", shown=False),
    Column("store.size", ("ss", "storeSize"), "store size of primaries & replicas", right=True),
    Column("pri.store.size", (), "store size of primaries", right=True),
)


@routes(
    "GET",
    "/_cat/indices",
    "/_cat/indices/{index}",
    takes=f"{PARAMETERS} {OPTIONS} health pri include_unloaded_segments",
)
def indices(call: Call) -> Reply:
    table = Table(_INDICES)
    if not call.parameters.flag("help"):
        found = resolve(call, closed=True, expand="open,closed")
        wanted = call.parameters.text("health")
        shards = overview(call, found.indices, sizes=True).topology.by_index()
        rows = [_index_row(found.infos[name], shards.get(name, [])) for name in sorted(found.indices)]
        table.rows = [row for row in rows if wanted in ("", row[0])]
    return table.reply(call)


def _index_row(info: IndexInfo, shards: list[ShardView]) -> list[Any]:
    created = date_text(info.created_ms)
    row: list[Any] = [
        status_of(shards),
        "close" if info.closed else "open",
        info.name,
        uuid_of(info),
        len(shards),
        replicas(info),
    ]
    if info.closed:
        return [*row, None, None, info.created_ms, created, Bytes(None), Bytes(None)]
    sizes = [shard.size for shard in shards]
    documents, deleted = sum(size.documents for size in sizes), sum(size.deleted for size in sizes)
    stored = Bytes(sum(shard.total_bytes for shard in shards))
    return [
        *row,
        documents,
        deleted,
        info.created_ms,
        created,
        stored,
        Bytes(sum(s.size_bytes for s in sizes)),
    ]


def replicas(info: IndexInfo) -> int:
    return int(info.settings.get("number_of_replicas", 1))


_COUNT = (
    Column("epoch", ("t", "time"), "seconds since 1970-01-01 00:00:00"),
    Column("timestamp", ("ts", "hms", "hhmmss"), "time in HH:MM:SS"),
    Column("count", ("dc", "docs.count", "docsCount"), "the document count"),
)


@routes("GET", "/_cat/count", "/_cat/count/{index}", takes=f"{PARAMETERS} {QUERY_STRING}")
def count(call: Call) -> Reply:
    table = Table(_COUNT)
    if not call.parameters.flag("help"):
        found = resolve(call)
        asked = {"query": query_of(call.parameters), "size": 0}
        number = visibility.search(call, found, asked).total if found.names else 0
        table.rows = [[*_now(), number]]
    return table.reply(call)


def _now() -> list[Any]:
    now_s = time.time()
    return [int(now_s), time.strftime("%H:%M:%S", time.gmtime(now_s))]


_ALIASES = (
    Column("alias", ("a",), "alias name"),
    Column("index", ("i", "idx"), "index alias points to"),
    Column("filter", ("f", "fi"), "filter"),
    Column("routing.index", ("ri", "routingIndex"), "index routing"),
    Column("routing.search", ("rs", "routingSearch"), "search routing"),
    Column("is_write_index", ("w", "isWriteIndex"), "write index"),
)


@routes("GET", "/_cat/aliases", "/_cat/aliases/{name}", takes=f"{PARAMETERS} expand_wildcards")
def aliases(call: Call) -> Reply:
    table = Table(_ALIASES)
    if not call.parameters.flag("help"):
        patterns = call.parts.get("name", "*").split(",")
        found = resolve(call, "_all", closed=True, expand="all")
        for index in found.indices:
            having = found.infos[index].aliases
            table.rows += [_alias_row(alias, index, having[alias]) for alias in matching(having, patterns)]
        table.rows.sort(key=lambda row: (row[0], row[1]))
    return table.reply(call)


def _alias_row(alias: str, index: str, options: dict[str, Any]) -> list[Any]:
    writes = options.get("is_write_index")
    return [
        alias,
        index,
        "*" if options.get("filter") else "-",
        options.get("index_routing", "-"),
        options.get("search_routing", "-"),
        "-" if writes is None else writes,
    ]


_HEALTH = (
    Column("epoch", ("t", "time"), "seconds since 1970-01-01 00:00:00"),
    Column("timestamp", ("ts", "hms", "hhmmss"), "time in HH:MM:SS"),
    Column("cluster", ("cl",), "cluster name"),
    Column("status", ("st",), "health status"),
    Column("node.total", ("nt", "nodeTotal"), "total number of nodes", right=True),
    Column("node.data", ("nd", "nodeData"), "number of nodes that can store data", right=True),
    Column("discovered_cluster_manager", ("dcm",), "discovered cluster manager", right=True),
    Column("shards", ("t", "sh", "shards.total", "shardsTotal"), "total number of shards", right=True),
    Column("pri", ("p", "shards.primary", "shardsPrimary"), "number of primary shards", right=True),
    Column("relo", ("r", "shards.relocating", "shardsRelocating"), "number of relocating nodes", right=True),
    Column(
        "init", ("i", "shards.initializing", "shardsInitializing"), "number of initializing nodes", right=True
    ),
    Column(
        "unassign", ("u", "shards.unassigned", "shardsUnassigned"), "number of unassigned shards", right=True
    ),
    Column("pending_tasks", ("pt", "pendingTasks"), "number of pending tasks", right=True),
    Column(
        "max_task_wait_time", ("mtwt", "maxTaskWaitTime"), "wait time of longest task pending", right=True
    ),
    Column(
        "active_shards_percent",
        ("asp", "activeShardsPercent"),
        "active number of shards in percent",
        right=True,
    ),
)


@routes("GET", "/_cat/health", takes=f"{PARAMETERS} ts", needs="cluster read")
def health(call: Call) -> Reply:
    table = Table(_HEALTH if call.parameters.flag("ts", True) else _HEALTH[2:])
    body = health_body(call, overview(call))
    row = [
        *_now(),
        body["cluster_name"],
        body["status"],
        body["number_of_nodes"],
        body["number_of_data_nodes"],
        body["discovered_cluster_manager"],
        body["active_shards"],
        body["active_primary_shards"],
        body["relocating_shards"],
        body["initializing_shards"],
        body["unassigned_shards"],
        0,
        "-",
        f"{body['active_shards_percent_as_number']:.1f}%",
    ]
    table.rows = [row if call.parameters.flag("ts", True) else row[2:]]
    return table.reply(call)


_SHARDS = (
    Column("index", ("i", "idx"), "index name"),
    Column("shard", ("s", "sh"), "shard name"),
    Column("prirep", ("p", "pr", "primaryOrReplica"), "primary or replica"),
    Column("state", ("st",), "shard state"),
    Column("docs", ("d", "dc"), "number of docs in shard", right=True),
    Column("store", ("sto",), "store size of shard", right=True),
    Column("ip", (), "ip of node where it lives"),
    Column("id", (), "unique id of node where it lives", shown=False),
    Column("node", ("n",), "name of node where it lives"),
    Column("unassigned.reason", ("ur",), "reason shard became unassigned", shown=False),
    Column("seq_no.max", ("sqm", "maxSeqNo"), "last sequence of the log in it", shown=False, right=True),
    Column("failed", (), "why it does not serve", shown=False),
)


@routes("GET", "/_cat/shards", "/_cat/shards/{index}", takes=f"{PARAMETERS} {OPTIONS}")
def shards(call: Call) -> Reply:
    table = Table(_SHARDS)
    if not call.parameters.flag("help"):
        seen = overview(call, resolve(call).indices, sizes=True)
        table.rows = [row for shard in seen.topology.shards for row in _shard_rows(seen, shard)]
    return table.reply(call)


def _shard_rows(seen: Overview, shard: ShardView) -> Iterator[list[Any]]:
    for copy, primary in placed(seen, shard):
        node = f"{copy.node} -> {copy.partner}" if copy.state == "RELOCATING" and copy.partner else copy.node
        size = copy.size
        yield [
            shard.index,
            shard.number,
            "p" if primary else "r",
            copy.state,
            None if size is None else size.documents,
            Bytes(None if size is None else size.size_bytes),
            seen.host(copy.node),
            seen.id(copy.node),
            node,
            None,
            copy.applied,
            copy.failed or None,
        ]
    for primary, reason in unplaced(seen, shard):
        place = [shard.index, shard.number, "p" if primary else "r", "UNASSIGNED"]
        yield [*place, None, Bytes(None), None, None, None, reason, None, None]


_NODES = (
    Column("id", ("nodeId",), "unique node id", shown=False),
    Column("ip", ("i",), "ip address"),
    Column("port", ("po",), "bound transport port", shown=False),
    Column("http_address", ("http",), "bound http address", shown=False),
    Column("version", ("v",), "version", shown=False),
    Column("uptime", ("u",), "node uptime", shown=False),
    Column("node.role", ("r", "role", "nodeRole"), "d:data node, m:cluster manager"),
    Column("cluster_manager", ("m", "master"), "*:current cluster manager"),
    Column("name", ("n",), "node name"),
    Column("zone", (), "zone of the node", shown=False),
)


@routes("GET", "/_cat/nodes", takes=f"{PARAMETERS} full_id include_unloaded_segments", needs="cluster read")
def nodes(call: Call) -> Reply:
    seen = overview(call, ())
    whole = call.parameters.flag("full_id")
    return Table(_NODES, [_node_row(seen, node, whole) for node in seen.nodes]).reply(call)


def _node_row(seen: Overview, node: NodeView, whole_id: bool) -> list[Any]:
    host, _, port = node.address.rpartition(":")
    own = node.name == seen.state.node_name
    id = seen.id(node.name)
    return [
        id if whole_id or not own else id[:4],
        host,
        port,
        node.address if own else None,
        COMPATIBLE,
        f"{int(time.time() - seen.state.started_s)}s" if own else None,
        "".join(sorted(_LETTERS[role] for role in node.roles)) or "-",
        "*" if node.name == seen.topology.master else "-",
        node.name,
        node.zone or None,
    ]


_LETTERS = {"data": "d", "cluster_manager": "m"}

_MANAGER = (
    Column("id", (), "node id"),
    Column("host", ("h",), "host name"),
    Column("ip", (), "ip address"),
    Column("node", ("n",), "node name"),
)


@routes("GET", "/_cat/cluster_manager", "/_cat/master", takes=PARAMETERS, needs="cluster read")
def cluster_manager(call: Call) -> Reply:
    seen = overview(call, ())
    master = seen.topology.master
    if master is None:
        return Table(_MANAGER).reply(call)
    host = seen.host(master)
    return Table(_MANAGER, [[seen.id(master), host, host, master]]).reply(call)
