"""A process that holds no copies, known to the others: it says every second that it lives, and what it speaks."""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid

from quidditch.cluster.catalogue import Catalogue
from quidditch.cluster.state import ProcessReport
from quidditch.errors import QuidditchError

BEAT_S = 1.0

log = logging.getLogger("quidditch.cluster")


class Presence:
    """Heard from its making to `close`: whoever raises the protocol of the cluster waits for it."""

    def __init__(self, catalogue: Catalogue, role: str, name: str) -> None:
        self._catalogue = catalogue
        self._report = ProcessReport(role, name, uuid.uuid4().hex, speaks=catalogue.speaks)
        self._closing = threading.Event()
        catalogue.report_process(self._report)
        self._thread = threading.Thread(target=self._beat, name="quidditch-presence", daemon=True)
        self._thread.start()

    @property
    def run(self) -> str:
        """Of this life of the process."""
        return self._report.run

    def _beat(self) -> None:
        while not self._closing.wait(BEAT_S):
            try:
                self._catalogue.report_process(self._report)
            except QuidditchError as error:
                log.warning("%s", error)

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        with contextlib.suppress(QuidditchError):
            self._catalogue.forget_process(self._report.run)
