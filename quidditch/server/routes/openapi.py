"""What can be asked, for programs that read it."""

from __future__ import annotations

from quidditch.server.call import Call, Reply
from quidditch.server.openapi import document
from quidditch.server.routing import Routes

routes = Routes()


@routes("GET", "/_openapi.json")
def openapi(call: Call) -> Reply:
    """The OpenAPI 3.1 document of every route, this one among them."""
    # The groups are complete once this module, one of theirs, is loaded.
    from quidditch.server.routes import GROUPS

    return Reply(document(route for group in GROUPS for route in group.declared))
