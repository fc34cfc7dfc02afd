"""What operators' programs read."""

from __future__ import annotations

from quidditch.server.call import Call, Reply
from quidditch.server.routing import Routes
from quidditch.server.runtime.metrics import exposition

routes = Routes()


@routes("GET", "/_metrics", needs="cluster read")
def metrics(call: Call) -> Reply:
    """Of all workers, in Prometheus's text format, whichever answers."""
    call.state.peers.everyone("note")
    return Reply(exposition(call.state.board, call.database))
