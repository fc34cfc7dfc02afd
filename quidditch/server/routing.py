"""Which handler a request goes to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote

from quidditch.server.failures import RestError
from quidditch.server.security.grants import Need

if TYPE_CHECKING:
    from quidditch.server.call import Call, Reply

Handler: TypeAlias = "Callable[[Call], Reply]"


@dataclass(frozen=True, slots=True)
class Route:
    """One method and path template, the parameters that it takes, and who answers.

    needs:     what its caller must be allowed
    streamed:  the handler reads the body piece by piece; otherwise it is read before
    """

    method: str
    template: str
    takes: frozenset[str]
    handler: Handler
    needs: Need
    streamed: bool = False


class Routes:
    """The routes of one group: `@routes("GET POST", "/_count", "/{index}/_count", takes="q df")`.

    reads, changes:  what routes of the group need that say nothing of it, by whether GET is one of their methods
    """

    def __init__(self, *, reads: str = "read", changes: str = "admin") -> None:
        self.declared: list[Route] = []
        self._reads = reads
        self._changes = changes

    def __call__(
        self, methods: str, *templates: str, takes: str = "", needs: str = "", streamed: bool = False
    ) -> Callable[[Handler], Handler]:
        """Declare a handler. `methods` and `takes` are words; templates name parts in braces; `needs` is a `Need`."""
        parameters = frozenset(takes.split())
        need = Need.parse(needs or (self._reads if "GET" in methods.split() else self._changes))

        def declare(handler: Handler) -> Handler:
            for method in methods.split():
                for template in templates:
                    self.declared.append(Route(method, template, parameters, handler, need, streamed))
            return handler

        return declare


@dataclass(frozen=True, slots=True)
class Found:
    """The route of a request and the parts of its path; without a route, the methods that the path has."""

    route: Route | None
    parts: dict[str, str]
    allowed: tuple[str, ...] = ()


class _Node:
    __slots__ = ("any", "literal", "routes")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.routes: dict[str, Route] = {}


class RouteTable:
    """All routes. A literal step of a path goes before a named part; where that leads nowhere, the part is taken."""

    def __init__(self, groups: Iterable[Routes]) -> None:
        self._root = _Node()
        self.routes = [route for group in groups for route in group.declared]
        for route in self.routes:
            self._enter(route)

    def _enter(self, route: Route) -> None:
        node = self._root
        for step in _steps(route.template):
            if step.startswith("{"):
                node.any = node.any or _Node()
                node = node.any
            else:
                node = node.literal.setdefault(step, _Node())
        if route.method in node.routes:
            raise ValueError(f"{route.method} {route.template} is declared twice")
        node.routes[route.method] = route

    def find(self, method: str, path: str) -> Found:
        """`path` as it was sent: its steps are decoded after they are split.

        raises: RestError   for a step that is no UTF-8
        """
        steps = [_decoded(step) for step in _steps(path)]
        allowed: set[str] = set()
        for node in _walk(self._root, steps):
            route = node.routes.get(method)
            if route is None and method == "HEAD":
                route = node.routes.get("GET")
            if route is not None:
                return Found(route, _parts(route.template, steps))
            allowed |= node.routes.keys()
        return Found(None, {}, tuple(sorted(allowed)))


def _walk(node: _Node, steps: Sequence[str]) -> Iterator[_Node]:
    if not steps:
        yield node
        return
    literal = node.literal.get(steps[0])
    if literal is not None:
        yield from _walk(literal, steps[1:])
    if node.any is not None:
        yield from _walk(node.any, steps[1:])


def _decoded(step: str) -> str:
    try:
        return unquote(step, errors="strict")
    except UnicodeDecodeError:
        raise RestError(f"path: [{step[:100]}] is not UTF-8") from None


def _steps(path: str) -> list[str]:
    return [step for step in path.split("/") if step]


def _parts(template: str, steps: Sequence[str]) -> dict[str, str]:
    return {
        name[1:-1]: step for name, step in zip(_steps(template), steps, strict=True) if name.startswith("{")
    }
