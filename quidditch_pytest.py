"""Fixtures for other people's tests: a real server, isolated per test or per session.

    opensearch_url     the URL of a server without any index; what a test leaves is removed after it
    quidditch_server   the server behind it, one for the whole session, as a `Server`

pytest loads this module at its start wherever Quidditch is installed. So it stands beside the package, not in it,
and imports next to nothing: who asks for no fixture pays nothing. The server runs in a process of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess

_RESETS = (
    ("DELETE", "/_all?expand_wildcards=all", None),
    ("DELETE", "/_search/scroll/_all", None),
    ("DELETE", "/_search/point_in_time/_all", None),
    ("PUT", "/_cluster/settings", '{"persistent": {"*": null}, "transient": {"*": null}}'),
)


class Server:
    """A server in a process of its own, on a free port of this machine, over a directory that vanishes with it.

    It answers OpenSearch's REST API at `url` from the moment it is made, some half a second later, until `close`; it
    is a context manager. Needs the extra `quidditch[server]`.

    raises: RuntimeError   it did not start
    """

    def __init__(self) -> None:
        import subprocess
        import sys

        command = [sys.executable, "-m", "quidditch.server.temporary"]
        # Its errors go where those of the tests go: pytest shows them with the test.
        self._process: subprocess.Popen[str] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self.close()
            raise RuntimeError(f"{' '.join(command)} did not start; its standard error says why")

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def reset(self) -> None:
        """Remove everything: indices, scrolls, points in time, settings of the cluster. Takes some milliseconds.

        raises: RuntimeError   the server refuses to, or is gone
        """
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            for method, path, body in _RESETS:
                connection.request(method, path, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                said = answer.read()
                # 404: nothing of that kind was there.
                if answer.status not in (200, 404):
                    raise RuntimeError(f"{method} {path}: {answer.status} {said.decode(errors='replace')}")
        except OSError as error:
            raise RuntimeError(f"the server at {self.url} does not answer: {error}") from error
        finally:
            connection.close()

    def close(self) -> None:
        """End the server and remove its directory; nothing if that has been done."""
        import subprocess

        try:
            # Its input is closed by this, which ends it.
            self._process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@pytest.fixture(scope="session")
def quidditch_server() -> Iterator[Server]:
    """A server for the whole session, one for each worker of pytest-xdist. What tests write stays in it."""
    with Server() as server:
        yield server


@pytest.fixture
def opensearch_url(quidditch_server: Server) -> Iterator[str]:
    """The URL of a server without any index, for clients of OpenSearch; it is emptied after the test."""
    yield quidditch_server.url
    quidditch_server.reset()
