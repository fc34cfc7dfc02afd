"""`python -m quidditch.server.temporary`: a server for tests, on a free port, over a directory that vanishes.

Its one line of output is its URL. It ends when its standard input is closed, so it never outlives the process that
started it, however that one ends.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

import uvicorn

from quidditch.local import connect
from quidditch.server.app import create_app
from quidditch.server.state import State


def main() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener, connect(":memory:") as database:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            create_app(database, State(http_address=address)),
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            log_level="warning",
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        threading.Thread(target=_end_with_the_input, args=(server,), daemon=True).start()
        # The socket listens: whoever connects from here on is answered, if a moment later.
        print(f"http://{address}", flush=True)
        server.run(sockets=[listener])


def _end_with_the_input(server: uvicorn.Server) -> None:
    """Not through `sys.stdin`: a thread that reads from it hinders the interpreter's end."""
    while os.read(sys.stdin.fileno(), 1 << 10):
        pass
    server.should_exit = True


if __name__ == "__main__":
    main()
