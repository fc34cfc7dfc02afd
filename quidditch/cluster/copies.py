"""Which node is asked about a shard."""

from __future__ import annotations

import itertools
import threading
import time
from typing import NamedTuple

from quidditch.cluster.catalogue import Catalogue
from quidditch.cluster.preference import Preference
from quidditch.cluster.state import ShardId
from quidditch.errors import Unavailable

SUSPECT_S = 5.0
"""How long a node that gave no answer is asked only where no other can be."""

ANY = Preference()


class Node(NamedTuple):
    """A node that holds a copy, and where its HTTP answers."""

    name: str
    address: str


class Copies:
    """Which node is asked about a shard: those that serve take turns, those that failed come last."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._turns = itertools.count()
        self._suspects: dict[str, float] = {}
        self._lock = threading.Lock()

    def of(self, shard: ShardId) -> list[str]:
        """The addresses that can be asked, the one to ask first.

        raises: Unavailable   there is none
        """
        return [node.address for node in self.nodes(shard)]

    def nodes(self, shard: ShardId, preference: Preference = ANY) -> list[Node]:
        """The nodes that can be asked, the one to ask first.

        raises: Unavailable   there is none
        """
        serving = self._catalogue.serving(shard)
        names = preference.ordered(str(shard), list(serving), next(self._turns))
        if not names:
            among = f" among [{','.join(preference.only)}]" if preference.only else ""
            raise Unavailable(
                f"no copy of shard {shard} answers{among}: its nodes are gone, or have not caught up yet"
            )
        nodes = [Node(name, serving[name].address) for name in names]
        now = time.monotonic()
        with self._lock:
            return sorted(nodes, key=lambda node: self._suspects.get(node.address, 0.0) > now)

    def suspect(self, address: str, for_s: float = SUSPECT_S) -> None:
        """It gave no answer, or was slow to."""
        with self._lock:
            self._suspects[address] = max(time.monotonic() + for_s, self._suspects.get(address, 0.0))
