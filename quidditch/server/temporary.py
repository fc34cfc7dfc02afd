"""`python -m quidditch.server.temporary`: a server for tests, on a free port, over a directory that vanishes.

Its one line of output is its URL. It ends when its standard input is closed, so it never outlives the process that
started it, however that one ends.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path

from quidditch.server.runtime.limits import Limits
from quidditch.server.serving import Serving, serve_directory


def main() -> None:
    # Until the server listens for it, too, this removes the directory.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    threading.Thread(target=_end_with_the_input, daemon=True).start()
    serving = Serving(port=0, limits=Limits(drain_s=1))
    with tempfile.TemporaryDirectory(prefix="quidditch-") as directory:
        serve_directory(Path(directory), serving, ready=partial(print, flush=True))


def _end_with_the_input() -> None:
    """Not through `sys.stdin`: a thread that reads from it hinders the interpreter's end."""
    while os.read(sys.stdin.fileno(), 1 << 10):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
