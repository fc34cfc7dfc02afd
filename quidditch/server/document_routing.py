"""The routing of a request about one document."""

from __future__ import annotations

from quidditch.index.routings import check_routing
from quidditch.server.call import Call
from quidditch.server.failures import RestError


def routing_of(call: Call, name: str, given: object = None) -> str | None:
    """What the request says, for itself or with `given` for one of its items, or else the alias that it names.

    raises: RestError   the alias says something else
    """
    asked = check_routing(call.parameters.text("routing") if given is None else given)
    fixed = None if name in call.database else _of_alias(call, name)
    if fixed is None:
        return asked
    if "," in fixed:
        raise RestError(
            f"index/alias [{name}] provided with routing value [{fixed}] that resolved to several routing values, "
            "rejecting operation"
        )
    if asked not in (None, fixed):
        raise RestError(
            f"Alias [{name}] has index routing associated with it [{fixed}], and was provided with routing value "
            f"[{asked}], rejecting operation"
        )
    return fixed


def _of_alias(call: Call, name: str) -> str | None:
    having = [info.aliases[name] for info in call.database.describe().values() if name in info.aliases]
    return next((str(each["index_routing"]) for each in having if "index_routing" in each), None)
