"""What a server keeps between requests."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from quidditch.server.activity import Activity
from quidditch.server.contexts import Contexts
from quidditch.server.tasks import Tasks


@dataclass(slots=True)
class State:
    """Of one process: who it is, and since when; settings of the cluster."""

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
    lock: threading.Lock = field(default_factory=threading.Lock)
