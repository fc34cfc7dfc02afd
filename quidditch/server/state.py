"""What a server keeps between requests."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from quidditch.interface import Database
from quidditch.server.activity import Activity
from quidditch.server.contexts import LONGEST_S, Contexts
from quidditch.server.parameters import seconds_of
from quidditch.server.refreshing import Unrefreshed
from quidditch.server.runtime.board import Board, Numbers
from quidditch.server.runtime.limits import Limits
from quidditch.server.runtime.peers import Peers
from quidditch.server.tasks import Tasks
from quidditch.topology import KeepsSettings

MAX_KEEP_ALIVE = "search.max_keep_alive"
"""The setting of the cluster that a server heeds: how long a scroll or point in time may be kept."""


@dataclass(slots=True)
class State:
    """Of one worker: who the server is, and since when; settings of the cluster; its own contexts and tasks.

    The workers of a server are one node: they share what names it.
    """

    node_name: str = "quidditch"
    cluster_name: str = "quidditch"
    cluster_uuid: str = field(default_factory=lambda: uuid.uuid4().hex[:22])
    node_id: str = field(default_factory=lambda: uuid.uuid4().hex[:22])
    started_s: float = field(default_factory=time.time)
    http_address: str = "127.0.0.1:9200"
    persistent: dict[str, Any] = field(default_factory=dict)
    transient: dict[str, Any] = field(default_factory=dict)
    contexts: Contexts = field(default_factory=Contexts)
    tasks: Tasks = field(default_factory=Tasks)
    activity: Activity = field(default_factory=Activity)
    unrefreshed: Unrefreshed = field(default_factory=Unrefreshed)
    lock: threading.Lock = field(default_factory=threading.Lock)
    peers: Peers = field(default_factory=Peers)
    board: Board = field(default_factory=Board)
    limits: Limits = field(default_factory=Limits)
    _numbers: Numbers = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = self.board.row(self.peers.own)

    def belong_to(self, database: Database) -> None:
        """Take on what the servers of one cluster have in common: its id, and its settings as they are now."""
        if isinstance(database, KeepsSettings):
            self.cluster_uuid = database.cluster_uuid[:22]
            for scope, kept in database.cluster_settings().items():
                self.put_settings(scope, kept)

    def put_settings(self, scope: str, changes: dict[str, Any]) -> None:
        """Change settings of the cluster, `persistent` or `transient`; None takes one back."""
        kept = self.persistent if scope == "persistent" else self.transient
        with self.lock:
            for key, value in changes.items():
                if value is None:
                    kept.pop(key, None)
                else:
                    kept[key] = str(value).lower() if isinstance(value, bool) else str(value)
            longest = self.transient.get(MAX_KEEP_ALIVE, self.persistent.get(MAX_KEEP_ALIVE))
            self.contexts.longest_s = LONGEST_S if longest is None else seconds_of(longest, MAX_KEEP_ALIVE)

    @property
    def numbers(self) -> Numbers:
        """What this worker counts."""
        return self._numbers
