"""`GET /`: who answers."""

from __future__ import annotations

from quidditch.server.call import Call, Reply
from quidditch.server.rendering.settings import COMPATIBLE
from quidditch.server.routing import Routes
from quidditch.version import __version__

routes = Routes()


@routes("GET", "/", needs="nothing")
def info(call: Call) -> Reply:
    """Clients look at `distribution` and `number` before they do anything else."""
    version = {
        "distribution": "opensearch",
        "number": COMPATIBLE,
        "build_type": "quidditch",
        "build_hash": __version__,
        "build_date": "unknown",
        "build_snapshot": False,
        "lucene_version": "9.7.0",
        "minimum_wire_compatibility_version": "7.10.0",
        "minimum_index_compatibility_version": "7.0.0",
    }
    return Reply(
        {
            "name": call.state.node_name,
            "cluster_name": call.state.cluster_name,
            "cluster_uuid": call.state.cluster_uuid,
            "version": version,
            "tagline": "The OpenSearch Project: https://opensearch.org/",
        }
    )
