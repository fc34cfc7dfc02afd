"""OpenSearch's REST API over any `Database`. Loaded by `quidditch serve` alone: `import quidditch` stays light.

A request passes these rooms, each of which imports only from those above it:

    failures.py    errors that only HTTP has, and the body of every error
    security/      who may ask, and for what: accounts, needs of routes, the database as a caller may use it
    wire.py        bytes to JSON and back, `pretty`, `filter_path` (filtering.py), content types
    parameters.py  the query string: typed readings; a name that is not declared is refused with the nearest
    routing.py     `Routes`: one small function a route; `RouteTable` finds the one of a path
    contexts.py    scrolls and points in time; tasks.py work that can be ended early
    refreshing.py  what searches see of an index whose `refresh_interval` was given
    activity.py    what was asked of each index, counted
    runtime/       processes and what they know of each other, limits, logs, numbers; see there
    state.py       what a server keeps between requests: those, who it is, settings of the cluster
    call.py        `Call`, what a handler gets, and `Reply`, what it gives
    search_bodies.py, source_filters.py   the query string of a search as its body
    rendering/     records of the engine to bodies (counts, sizes, settings, tables of `_cat`)
    templates.py   what new indices are made after; making.py makes them
    resolving.py   index expressions (`logs-*,-logs-old`, aliases, `_all`) to names
    document_routing.py, visibility.py   the routing of a request; when writes are seen, and by whom
    shard_failures.py  searches that an index refused; search_limits.py how large a search one allows
    views.py       the views of a scroll or a point in time
    openapi/       the routes as an OpenAPI document
    routes/        the handlers, a module for each group of the API
    app.py         ASGI: reads the request, runs the handler in a bounded pool of threads, writes the reply
    serving.py     a socket, signals, one process or several

A handler is synchronous, as the engine is: `async` is only in app.py. To add a route:

    routes = Routes()

    @routes("GET POST", "/_count", "/{index}/_count", takes="q df routing")
    def count(call: Call) -> Reply:
        ...
        return Reply({"count": number})

Its module stands in `routes/__init__.py`. HEAD is answered by the handler of GET.
"""
