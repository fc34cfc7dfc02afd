"""`_nodes`: who takes part."""

from __future__ import annotations

from typing import Any

from quidditch.server.call import Call, Reply
from quidditch.server.overview import Overview, overview
from quidditch.server.rendering.settings import COMPATIBLE
from quidditch.server.routing import Routes
from quidditch.topology import NodeView

routes = Routes(reads="cluster read", changes="cluster admin")


def node_body(seen: Overview, node: NodeView) -> dict[str, Any]:
    """What is said of a node wherever one is described. `http` has only who speaks REST: clients go there."""
    host = node.address.rpartition(":")[0]
    body: dict[str, Any] = {
        "name": node.name,
        "host": host,
        "ip": host,
        "transport_address": node.address,
        "version": COMPATIBLE,
        "roles": sorted(node.roles, reverse=True) if seen.topology.alone else sorted(node.roles),
        "attributes": {"zone": node.zone} if node.zone else {},
    }
    if node.name == seen.state.node_name:
        body["http"] = {"publish_address": node.address, "bound_address": [node.address]}
    return body


@routes("GET", "/_nodes", "/_nodes/{node_id}", "/_nodes/{node_id}/{metric}", takes="flat_settings timeout")
def nodes_info(call: Call) -> Reply:
    seen = overview(call, ())
    nodes = seen.chosen(call.parts.get("node_id", "_all"))
    # As OpenSearch has it, one step may be nodes or what is asked of them: `/_nodes/http`.
    if call.parts.get("node_id") in _METRICS:
        nodes = seen.nodes
    return Reply(
        {
            "_nodes": {"total": len(nodes), "successful": len(nodes), "failed": 0},
            "cluster_name": call.state.cluster_name,
            "nodes": {seen.id(node.name): node_body(seen, node) for node in nodes},
        }
    )


_METRICS = ("settings", "os", "process", "jvm", "thread_pool", "transport", "http", "plugins", "ingest")
