"""The topology of the database behind a server, in which this server is a node too, with what OpenSearch calls it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

from quidditch.server.call import Call
from quidditch.server.state import State
from quidditch.topology import HERE, CopyView, NodeView, ShardView, Topology, topology_of


@dataclass(frozen=True, slots=True)
class Overview:
    """The topology, every node of it by its name, and `state` of this server."""

    topology: Topology
    state: State

    @property
    def nodes(self) -> list[NodeView]:
        """Those that are heard."""
        return self.topology.alive

    @property
    def data_nodes(self) -> list[NodeView]:
        return [node for node in self.nodes if "data" in node.roles]

    def id(self, name: str) -> str:
        """What a node is called in paths: data nodes by their names."""
        return self.state.node_id if name == self.state.node_name else name

    def name(self, id: str) -> str:
        """The name that is meant by an id or a name."""
        return self.state.node_name if id == self.state.node_id else id

    def host(self, name: str) -> str:
        """The address of a node without its port; empty where it is not known."""
        for node in self.topology.nodes:
            if node.name == name:
                return node.address.rpartition(":")[0]
        return ""

    def chosen(self, expression: str) -> list[NodeView]:
        """The nodes that a list of ids, names, roles (`data:true`) and words (`_local`, `_master`) means."""
        asked = set(expression.split(","))
        return [node for node in self.nodes if asked & self._words(node)]

    def _words(self, node: NodeView) -> set[str]:
        found = {"_all", "*", node.name, self.id(node.name)}
        if node.name == self.state.node_name:
            found.add("_local")
        if node.name == self.topology.master:
            found |= {"_master", "_cluster_manager"}
        return found | {f"{role}:true" for role in node.roles}


def overview(call: Call, indices: Collection[str] | None = None, *, sizes: bool = False) -> Overview:
    """What there is, of all indices that the caller sees or of some. The only node of a database that has no others
    is this server; in a cluster it is a further one, which holds nothing."""
    found = topology_of(call.database, indices, sizes=sizes)
    own, address = call.state.node_name, call.state.http_address
    if found.alone:
        nodes = tuple(replace(node, name=own, address=address) for node in found.nodes)
        shards = tuple(_named(shard, own) for shard in found.shards)
        return Overview(replace(found, nodes=nodes, shards=shards, master=own), call.state)
    if own not in {node.name for node in found.nodes}:
        coordinator = NodeView(own, address, ())
        found = replace(found, nodes=(*found.nodes, coordinator))
    return Overview(found, call.state)


def _named(shard: ShardView, own: str) -> ShardView:
    return replace(
        shard, copies=tuple(replace(copy, node=own) if copy.node == HERE else copy for copy in shard.copies)
    )


def placed(seen: Overview, shard: ShardView) -> Iterator[tuple[CopyView, bool]]:
    """The copies that have a place, each with whether it is shown as the primary: the first that serves. There is no
    such thing, since the log is what copies follow, but clients expect one."""
    for position, copy in enumerate(shard.copies):
        if copy.state != "UNASSIGNED":
            yield copy, position == 0


def unplaced(seen: Overview, shard: ShardView) -> Iterator[tuple[bool, str]]:
    """For each copy that has none, whether it would be the primary, and why. A directory's are not listed: they will
    never have a place."""
    primary = not any(True for _ in placed(seen, shard))
    left = sum(copy.state == "UNASSIGNED" for copy in shard.copies)
    for number in range(0 if seen.topology.alone else shard.unassigned):
        yield primary and number == 0, "NODE_LEFT" if number < left else "INDEX_CREATED"


def routing_entries(seen: Overview, shard: ShardView) -> list[dict[str, Any]]:
    """A shard's copies as `_cluster/state` has them."""
    of = {"shard": shard.number, "index": shard.index}
    found: list[dict[str, Any]] = [
        {
            "state": copy.state,
            "primary": primary,
            "node": seen.id(copy.node),
            "relocating_node": seen.id(copy.partner) if copy.partner else None,
            **of,
        }
        for copy, primary in placed(seen, shard)
    ]
    found += [
        {
            "state": "UNASSIGNED",
            "primary": primary,
            "node": None,
            "relocating_node": None,
            **of,
            "unassigned_info": {"reason": reason},
        }
        for primary, reason in unplaced(seen, shard)
    ]
    return found
