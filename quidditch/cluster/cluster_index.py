"""The Index of a cluster: its writer sends to logs, and its shards are on other machines.

What an index does with its writer, its shards and its mapping is the same wherever they are, and inherited.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Mapping as Dict
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec

from quidditch.cluster.bulk_load import CHUNK_DOCS, BulkLoad
from quidditch.cluster.data_node import shard_path
from quidditch.cluster.index_settings import check_replicas
from quidditch.cluster.part import ShardPlace
from quidditch.cluster.preference import Preference
from quidditch.cluster.remote_shard import RemoteShard
from quidditch.cluster.routing import routing_key, shard_of
from quidditch.cluster.sharded_writer import ShardedWriter
from quidditch.cluster.state import ShardId
from quidditch.cluster.transport import Request
from quidditch.errors import (
    IndexClosed,
    QuidditchError,
    SnapshotExpired,
    StorageError,
    Unavailable,
    Unsupported,
)
from quidditch.index.catalog import IndexEntry
from quidditch.index.document import decode_source
from quidditch.interface import (
    BulkResult,
    CheckReport,
    Document,
    IndexStats,
    Problem,
    Shard,
)
from quidditch.local.base_index import BaseIndex
from quidditch.local.searches import Searches
from quidditch.local.settings import changed_settings
from quidditch.progress import watched_stream
from quidditch.schema.mapping import Mapping
from quidditch.search.request import SearchRequest
from quidditch.tables import records
from quidditch.types import Json

if TYPE_CHECKING:
    from quidditch.cluster.coordinator import ClusterDatabase

TRIES = 4
"""How often a search is begun, with other copies each time."""

Result = TypeVar("Result")


class ClusterIndex(BaseIndex[ShardedWriter]):
    """One index of a cluster. A search sees every write that this coordinator has acknowledged before it."""

    def __init__(self, database: ClusterDatabase, name: str) -> None:
        self._database = database
        self.name = name
        self._gather = database.gather

    def __repr__(self) -> str:
        return f"ClusterIndex({self.name!r})"

    def _writers(self) -> Callable[[str], ShardedWriter]:
        return self._database.writers()

    def _entry(self) -> IndexEntry:
        """raises: IndexNotFound, IndexClosed"""
        entry = self._database.catalogue.entry(self.name)
        if entry.closed:
            raise IndexClosed(f"index [{self.name}] is closed; open_index opens it")
        return entry

    def _mapping(self) -> Mapping:
        return self._database.catalogue.mapping(self._database.catalogue.entry(self.name).generation)[1]

    def _shard_ids(self) -> list[ShardId]:
        entry = self._entry()
        return [ShardId(entry.generation, number) for number in range(entry.shards)]

    def remote_shards(self, request: SearchRequest | None = None) -> list[RemoteShard]:
        """The shards that a search is about, each by whichever copy is asked; they show what this coordinator has
        written.

        raises: RequestError   a preference that is none
        """
        means = self._database.means
        preference = Preference.parse("" if request is None else request.preference)
        shards = self._shard_ids()
        wanted = _wanted(len(shards), () if request is None else request.routings, preference)
        return [
            RemoteShard(
                ShardPlace(shard, self.name, len(shards)),
                means.asking,
                means.loop,
                means.written.of(shard),
                preference,
            )
            for shard in shards
            if shard.number in wanted
        ]

    @contextmanager
    def _shards(self, request: SearchRequest | None = None) -> Iterator[Sequence[Shard]]:
        yield self.remote_shards(request)

    # -------------------------------------------------------------------------------------------- searching

    def point_in_time(self, keep_alive_s: float | None = None) -> ClusterPointInTime:
        """As `LocalIndex.point_in_time`; it ends with the nodes that hold its views."""
        return ClusterPointInTime(self, keep_alive_s)

    # ------------------------------------------------------------------------------- mappings and settings

    @property
    def settings(self) -> dict[str, Json]:
        return dict(self._database.catalogue.entry(self.name).settings)

    def put_settings(self, settings: dict[str, Json], *, preserve: bool = False) -> None:
        """As `LocalIndex.put_settings`, for every process of the cluster."""

        def alter(entry: IndexEntry) -> IndexEntry:
            changed = changed_settings(entry.settings, settings, preserve)
            check_replicas(changed)
            return msgspec.structs.replace(entry, settings=changed)

        self._database.change_entry(self.name, alter)

    def put_mappings(self, mappings: dict[str, Json]) -> None:
        """As `LocalIndex.put_mappings`; every copy takes the fields on before what is written next."""
        uuid = self._database.catalogue.entry(self.name).generation
        version, _ = self._database.catalogue.extend_mapping(uuid, mappings)
        self._writer().mark_mapping(version)

    # ---------------------------------------------------------------------------------------------- writes

    def add_many(
        self,
        docs: Iterable[Dict[str, Any]],
        *,
        id_field: str | None = "_id",
        progress: bool = False,
        chunk: int | None = None,
        workers: int = 1,
    ) -> BulkResult:
        """As `LocalIndex.add_many`; each chunk goes to the logs of its shards, and `workers` is not heeded. A log
        that is full is waited for."""
        self._check_stream(chunk, id_field)
        self._check_unrouted()
        started = time.monotonic()
        stream = records(docs)
        writer = ShardedWriter(self._database.means, self.name, patient=True)
        load = BulkLoad(writer, id_field, chunk or CHUNK_DOCS * min(4, self._entry().shards))
        load.load(watched_stream(stream, docs) if progress else stream)
        rejected = sorted(load.rejected, key=lambda item: item.position)
        return BulkResult(rejected, load.accepted, round((time.monotonic() - started) * 1000))

    # -------------------------------------------------------------------------------------------- documents

    def _read(self, ids: Sequence[bytes], routings: Sequence[str | None]) -> list[Document | None]:
        shards = self._shard_ids()
        places: dict[ShardId, list[int]] = {}
        for place, (id_bytes, routing) in enumerate(zip(ids, routings, strict=True)):
            shard = shards[shard_of(routing_key(id_bytes, routing), len(shards))]
            places.setdefault(shard, []).append(place)
        found: list[Document | None] = [None] * len(ids)
        for shard, own in places.items():
            asked = {"ids": [ids[at].decode() for at in own], "routings": [routings[at] for at in own]}
            told = self._ask_one(shard, "get", asked)
            for place, said in zip(own, told, strict=True):
                if said is not None:
                    source, version, seq_no, routing = said
                    found[place] = Document(
                        ids[place].decode(), decode_source(source), version, seq_no, routing=routing
                    )
        return found

    def _holds(self, id_bytes: bytes) -> bool:
        return self.mget([id_bytes.decode()])[0] is not None

    def __len__(self) -> int:
        return sum(self._ask_one(shard, "count", {}) for shard in self._shard_ids())

    def _ask_one(self, shard: ShardId, call: str, body: dict[str, Any]) -> Any:
        """What one copy answers that has seen this coordinator's writes; another is asked if it gives no answer."""
        means = self._database.means
        body = {**body, "min_sequence": means.written.of(shard)}

        def ask() -> Any:
            address = means.copies.of(shard)[0]
            try:
                return means.transport.call(Request(address, shard_path(shard, call), body, 60.0))
            except Unavailable:
                means.copies.suspect(address)
                raise

        return again(ask)

    # ----------------------------------------------------------------------------------------------- upkeep

    def refresh(self) -> None:
        """Have every copy that answers show what is in the logs now, whoever wrote it."""
        means = self._database.means
        for shard in self._shard_ids():
            last = means.log(shard).bounds().last
            means.written.note(shard, last)
            self._tell_all(shard, "wait", {"sequence": last, "timeout_s": 30.0})

    def flush(self) -> None:
        """As `LocalIndex.flush`, on every copy that answers."""
        for shard in self._shard_ids():
            self._tell_all(shard, "flush", {})

    def _force_merge(self, max_segments: int) -> None:
        for shard in self._shard_ids():
            self._tell_all(shard, "force_merge", {"max_segments": max_segments})

    def _tell_all(self, shard: ShardId, call: str, body: dict[str, Any]) -> list[Any]:
        """What every copy that answers says.

        raises: what a copy refuses; Unavailable   when none answers
        """
        means = self._database.means
        path = shard_path(shard, call)
        requests = [Request(address, path, body, 3600.0) for address in means.copies.of(shard)]
        answers = means.transport.calls(requests)
        for answer in answers:
            if isinstance(answer, QuidditchError) and not isinstance(answer, Unavailable):
                raise answer
        said = [answer for answer in answers if not isinstance(answer, QuidditchError)]
        if not said:
            raise answers[0]
        return said

    def compact(self, *, progress: bool = False) -> NoReturn:
        """Refused: it is of a directory."""
        raise Unsupported(
            "compact: not of a cluster's index; each node's directory can be, with the node stopped"
        )

    def backup(self, path: str | Path, *, progress: bool = False) -> NoReturn:
        """Refused: it is of a directory."""
        raise Unsupported(
            "backup: is of a directory; of a cluster's index there are snapshots (docs/cluster.md)"
        )

    def check(self, *, deep: bool = True, progress: bool = False) -> CheckReport:
        """Verify every copy that answers."""
        problems: list[Problem] = []
        for shard in self._shard_ids():
            for said in self._tell_all(shard, "check", {"deep": deep}):
                problems += [msgspec.convert(one, Problem) for one in said["problems"]]
        return CheckReport(problems)

    def stats(self, *, detail: bool = False) -> IndexStats:
        """Of one copy of each shard, summed."""
        parts = [self._ask_one(shard, "stats", {"detail": False}) for shard in self._shard_ids()]
        return IndexStats(
            **{name: sum(part[name] for part in parts) for name in _COUNTS},
            fields=_summed(part["fields"] for part in parts),
            structures=_summed(part["structures"] for part in parts),
            oldest_view_s=max((part["oldest_view_s"] for part in parts), default=0.0),
        )


_COUNTS = ("documents", "deleted", "segments", "buffered", "size_bytes", "free_bytes", "open_views")


def _summed(parts: Iterable[Dict[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total


def again(work: Callable[[], Result]) -> Result:
    """What `work` gives, begun again with other copies when one gives no answer or has lost its view.

    raises: Unavailable   whatever copies were asked
    """
    for attempt in range(TRIES):
        try:
            return work()
        except (Unavailable, SnapshotExpired):
            if attempt == TRIES - 1:
                raise
            time.sleep(0.05 * attempt)
    raise AssertionError("unreachable")


class ClusterPointInTime(Searches):
    """An index as it was at one moment: a view of one copy of each shard, until it is closed or lies unused."""

    def __init__(self, index: ClusterIndex, keep_alive_s: float | None) -> None:
        self.name = index.name
        self._gather = index._gather
        self._held = ExitStack()
        self._mapping_then = index._mapping()
        self._is_open = True
        with ExitStack() as stack:
            self._frozen = [
                stack.enter_context(shard.snapshot(True, keep_alive_s)) for shard in index.remote_shards()
            ]
            self._held = stack.pop_all()

    def _mapping(self) -> Mapping:
        return self._mapping_then

    @contextmanager
    def _shards(self, request: SearchRequest | None = None) -> Iterator[Sequence[Shard]]:
        if not self._is_open:
            raise StorageError(f"this point in time of index [{self.name}] is closed")
        preference = Preference.parse("" if request is None else request.preference)
        wanted = _wanted(len(self._frozen), () if request is None else request.routings, preference)
        yield [view for number, view in enumerate(self._frozen) if number in wanted]

    def close(self) -> None:
        """Let go of the views."""
        self._is_open = False
        self._held.close()

    def __enter__(self) -> ClusterPointInTime:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()


def _wanted(count: int, routings: Sequence[str], preference: Preference) -> set[int]:
    """The numbers of the shards where documents of these routings are, of those that are preferred."""
    numbers = {shard_of(routing.encode(), count) for routing in routings} if routings else set(range(count))
    return numbers if preference.shards is None else numbers & preference.shards
