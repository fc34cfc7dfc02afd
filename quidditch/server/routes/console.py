"""`/_console`: the search page, files of the package as they are."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from quidditch.server.call import Call, Reply
from quidditch.server.failures import RestError
from quidditch.server.routing import Routes

routes = Routes()

PAGE = "index.html"

_MEDIA_TYPES = {
    ".html": "text/html; charset=UTF-8",
    ".css": "text/css; charset=UTF-8",
    ".js": "text/javascript; charset=UTF-8",
    ".svg": "image/svg+xml",
}

# Nothing but the files beside the page runs or is loaded, and nobody frames it; a script that tries to make
# elements from text is stopped by the browser.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@routes("GET", "/_console", "/_console/{file}", needs="nothing")
def console(call: Call) -> Reply:
    name = call.parts.get("file", PAGE)
    data = _files().get(name)
    if data is None:
        raise RestError(
            f"console: no file [{name[:80]}]; {', '.join(sorted(_files()))} expected",
            404,
            "resource_not_found_exception",
        )
    return Reply(data, 200, HEADERS, _MEDIA_TYPES[name[name.rindex(".") :]])


@cache
def _files() -> dict[str, bytes]:
    """The files of the page by name: some 30 kB, read once."""
    folder = files("quidditch.server") / "console"
    return {
        file.name: file.read_bytes() for file in folder.iterdir() if file.name.endswith(tuple(_MEDIA_TYPES))
    }
