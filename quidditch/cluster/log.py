"""The write log of a shard: what replicas apply, in one order, after it is replicated and synced.

`WriteLog` is all that the cluster asks of an engine; `JetStreamLog` is a stream of NATS JetStream for each shard.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from nats import errors as nats_errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import api
from nats.js import errors as js_errors

from quidditch.cluster.connection import CALL_S, Connection, NotCommitted, asking
from quidditch.cluster.state import ShardId
from quidditch.errors import QuidditchError, StorageError

DUPLICATES_S = 600.0
"""How long JetStream remembers a message's id; replicas remember the last batches' for longer."""

PULL = 32
"""Messages that are on their way to a reader at once."""

PULL_S = 30.0
"""How long a request of a reader stands before it is made again."""

BEAT_S = 5.0
"""How often JetStream says that a request stands; without a word for three times as long, it is lost."""


SURE_S = 3.0
"""How long a stream must be gone before that is believed: a server that has just come back, or has just been elected,
may know less than it will in a moment."""


class Entry(NamedTuple):
    """One message of a stream: its sequence, from 1 on, what was appended, and under which subject."""

    sequence: int
    data: bytes
    subject: str = ""


class Bounds(NamedTuple):
    """The sequences that a log holds: from `first` to `last`. With `first` = `last` + 1 it holds none."""

    first: int
    last: int


class Beginning(NamedTuple):
    """Where a log begins that was made in the place of one that was lost.

    follows:  the identity of the log that was lost
    applied:  up to where in that one the copies are that go on with this one
    first:    the sequence of its first entry, far after `applied`: sequences that the lost one may have given to
              entries that no copy has are not given again
    """

    follows: str
    applied: int
    first: int


class LogTrimmed(StorageError):
    """The log no longer holds what a reader needs next: a copy of another replica does."""


class LogLost(StorageError):
    """The log ends before what a replica has applied: it is not the log that it was."""


class LogReader(Protocol):
    """Reads one log in order, from one sequence on. Use by one thread."""

    def read(self, limit: int, wait_s: float) -> list[Entry]:
        """The next entries, at most `limit`: none if none came within `wait_s`.

        raises: LogTrimmed    the next one is gone
                Unavailable   the engine does not answer; the same call may be made again
        """

    def close(self) -> None: ...


class WriteLog(Protocol):
    """The replicated, synced log of one shard."""

    def append(self, data: bytes, batch_id: str, timeout_s: float) -> int:
        """Append a batch; its sequence, once it is replicated and synced. The same `batch_id` goes in once.

        raises: Unavailable   not within `timeout_s`: it may be in the log, or not
                Overloaded    the log is full; it is not in the log
        """

    def read_from(self, sequence: int) -> LogReader:
        """A reader whose first entry is that of `sequence`, which may be yet to come."""

    def bounds(self) -> Bounds: ...

    def identity(self) -> str:
        """Names this log, and no other that is made in its place."""

    def beginning(self) -> Beginning | None:
        """Of a log that was made in the place of a lost one; None of any other."""

    def trim(self, upto: int) -> None:
        """Forget entries up to this sequence, which every replica has durably applied."""


class JetStreamLog:
    """`WriteLog` on a stream of its own."""

    def __init__(self, connection: Connection, shard: ShardId) -> None:
        self._connection = connection
        self._jetstream = connection.jetstream
        self.stream = f"Q_{shard.uuid}_{shard.number}"
        self.subject = f"q.{shard.uuid}.{shard.number}"

    def create(self, max_bytes: int = 1 << 30, beginning: Beginning | None = None) -> None:
        """Make the stream; nothing happens where it is there. A full one refuses to take more."""
        config = api.StreamConfig(
            name=self.stream,
            subjects=[self.subject],
            storage=api.StorageType.FILE,
            retention=api.RetentionPolicy.LIMITS,
            discard=api.DiscardPolicy.NEW,
            max_bytes=max_bytes,
            num_replicas=self._connection.options.replicas,
            duplicate_window=DUPLICATES_S,
            allow_direct=False,
            deny_delete=True,
            first_seq=None if beginning is None else beginning.first,
            metadata=None if beginning is None else _metadata(beginning),
        )
        self._connection.call(lambda: self._jetstream.add_stream(config), f"making stream {self.stream}")

    def delete(self) -> None:
        """Remove the stream with all that is in it; nothing happens where there is none."""
        try:
            self._connection.call(lambda: self._jetstream.delete_stream(self.stream), "removing a stream")
        except js_errors.NotFoundError:
            return

    def append(self, data: bytes, batch_id: str, timeout_s: float) -> int:
        return self._connection.run(self.appending(data, batch_id, timeout_s), timeout_s + CALL_S + 1.0)

    async def appending(self, data: bytes, batch_id: str, timeout_s: float) -> int:
        """As `append`, in the loop."""

        async def publish() -> int:
            ack = await self._jetstream.publish(
                self.subject, data, timeout=CALL_S, stream=self.stream, headers={"Nats-Msg-Id": batch_id}
            )
            # An in-flight duplicate is answered so before it is committed.
            if not ack.seq:
                raise NotCommitted(f"{self.stream}: acknowledged without a sequence")
            return int(ack.seq)

        return await asking(publish, f"appending to {self.stream}", timeout_s)

    def read_from(self, sequence: int) -> JetStreamReader:
        return JetStreamReader(self._connection, self.stream, sequence)

    def bounds(self) -> Bounds:
        info = stream_info(self._connection, self.stream)
        last = int(info.state.last_seq)
        # Of a stream that is empty because it was trimmed NATS says first = last + 1; of a new one, 0.
        return Bounds(max(1, int(info.state.first_seq)), last)

    def identity(self) -> str:
        info = stream_info(self._connection, self.stream)
        return f"{self.stream}@{info.created.isoformat() if info.created else ''}"

    def beginning(self) -> Beginning | None:
        info = stream_info(self._connection, self.stream)
        found = info.config.metadata or {}
        if _FOLLOWS not in found:
            return None
        return Beginning(found[_FOLLOWS], int(found[_APPLIED]), int(found[_FIRST]))

    def trim(self, upto: int) -> None:
        self._connection.call(
            lambda: self._jetstream.purge_stream(self.stream, seq=upto + 1), f"trimming {self.stream}"
        )


_FOLLOWS, _APPLIED, _FIRST = "quidditch.follows", "quidditch.applied", "quidditch.first"


def _metadata(beginning: Beginning) -> dict[str, str]:
    return {
        _FOLLOWS: beginning.follows,
        _APPLIED: str(beginning.applied),
        _FIRST: str(beginning.first),
    }


def stream_info(connection: Connection, stream: str) -> api.StreamInfo:
    """raises: LogLost   there is no such stream"""
    jetstream = connection.jetstream
    try:
        return connection.call(lambda: jetstream.stream_info(stream), "asking for a stream")
    except js_errors.NotFoundError as error:
        raise LogLost(f"{stream}: there is no such stream") from error


class JetStreamReader:
    """`LogReader` by a pull consumer in the server's memory, made anew whenever something is missing.

    Requests stand ahead of what is read, so that an entry comes as soon as it is in the log.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        sequence: int,
        *,
        gaps: bool = False,
        beat_s: float = BEAT_S,
    ) -> None:
        """gaps:    sequences may be missing, as in a stream that keeps the last message of each subject alone
        beat_s:  how often JetStream says that it is there; without a word for three times as long, it is lost
        """
        self._beat_s = beat_s
        self._connection = connection
        self._stream = stream
        self._next = sequence
        self._gaps = gaps
        self._arrived = threading.Condition()
        self._entries: deque[Entry] = deque()
        self._consumer: _Consumer | None = None
        self._ended = False
        self._created: datetime | None = None

    def read(self, limit: int, wait_s: float) -> list[Entry]:
        """raises: LogLost   the stream ends before the sequence that was asked for, beside what `LogReader` says"""
        consumer = self._consumer or self._open()
        with self._arrived:
            self._arrived.wait_for(lambda: self._entries or consumer.lost or self._ended, wait_s)
            found = [self._entries.popleft() for _ in range(min(limit, len(self._entries)))]
        if not found:
            if consumer.silent():
                self._forget()
            return []
        whole = len(found) if self._gaps else self._contiguous(found)
        if whole:
            self._next = found[whole - 1].sequence + 1
        if whole < len(found):
            # A message went missing on its way: it is asked for again.
            self._forget()
        else:
            consumer.taken()
        return found[:whole]

    def _contiguous(self, found: list[Entry]) -> int:
        """How many of the entries are those that come next."""
        place = 0
        while place < len(found) and found[place].sequence == self._next + place:
            place += 1
        return place

    def _open(self) -> _Consumer:
        self._check_bounds()
        self._entries.clear()
        self._consumer = _Consumer(self._connection, self._stream, self._next, self._arrive, self._beat_s)
        return self._consumer

    def _check_bounds(self) -> None:
        """raises: LogTrimmed, LogLost"""
        info = stream_info(self._connection, self._stream)
        if self._created is not None and info.created != self._created:
            raise LogLost(f"{self._stream}: it was made anew at {info.created}; what it held is gone")
        self._created = info.created
        first, last = int(info.state.first_seq), int(info.state.last_seq)
        if first > self._next and not self._gaps:
            raise LogTrimmed(f"{self._stream}: entry {self._next} is needed; the log begins at {first}")
        if last + 1 < self._next:
            raise LogLost(f"{self._stream}: entry {self._next} is needed; the log ends at {last}")

    def _arrive(self, consumer: _Consumer, entry: Entry | None) -> None:
        """In the loop: an entry came, or with None the consumer is lost."""
        with self._arrived:
            if entry is not None and (self._consumer is None or self._consumer is consumer):
                self._entries.append(entry)
            self._arrived.notify()

    def begin_anew(self, sequence: int) -> None:
        """Read from here on: another stream has taken the place of the one that was read."""
        self._forget()
        self._next = sequence
        self._created = None

    def wake(self) -> None:
        """Have whoever reads wait no longer, now and from now on."""
        with self._arrived:
            self._ended = True
            self._arrived.notify_all()

    def _forget(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()
        with self._arrived:
            self._entries.clear()

    def close(self) -> None:
        self._forget()


class _Consumer:
    """A consumer of JetStream, from one sequence on, and the requests that stand with it."""

    def __init__(
        self,
        connection: Connection,
        stream: str,
        sequence: int,
        arrive: Callable[[_Consumer, Entry | None], None],
        beat_s: float,
    ) -> None:
        self._beat_s = beat_s
        self._connection = connection
        self._stream = stream
        self._arrive = arrive
        self._asked = 0
        self._heard = time.monotonic()
        self._life = connection.lives
        self.lost = False
        self._name, self._inbox, self._subscription = connection.run(self._create(sequence), 15.0)
        self._ask(PULL)

    async def _create(self, sequence: int) -> tuple[str, str, Subscription]:
        client, jetstream = self._connection.client, self._connection.jetstream
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=self._heed)
        config = api.ConsumerConfig(
            deliver_policy=api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=sequence,
            ack_policy=api.AckPolicy.NONE,
            inactive_threshold=60.0,
            mem_storage=True,
            num_replicas=1,
        )
        try:
            made = await asking(
                lambda: jetstream.add_consumer(self._stream, config), f"reading {self._stream}", 10.0
            )
        except BaseException as error:
            await subscription.unsubscribe()
            if isinstance(error, js_errors.NotFoundError):
                raise LogLost(f"{self._stream}: there is no such stream") from error
            raise
        return str(made.name), inbox, subscription

    async def _heed(self, message: Msg) -> None:
        """A message of the stream, or what the server says about the request."""
        self._heard = time.monotonic()
        status = (message.headers or {}).get("Status") if not message.data else None
        if status is None:
            self._asked -= 1
            self._arrive(self, Entry(message.metadata.sequence.stream, message.data, message.subject))
        elif status != "100":
            # 404, 408: the request has ended; 409: so has the consumer, or nearly.
            self._asked = 0
            if status == "409" or status == "503":
                self.lost = True
            self._arrive(self, None)

    def taken(self) -> None:
        """Entries have been read: ask for more before there are none on their way."""
        if self._asked <= PULL // 2:
            self._ask(PULL - max(0, self._asked))

    def _ask(self, count: int) -> None:
        self._asked = max(0, self._asked) + count
        request = {
            "batch": count,
            "expires": int(PULL_S * 1e9),
            "idle_heartbeat": int(self._beat_s * 1e9),
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"
        self._run(self._connection.client.publish(subject, json.dumps(request).encode(), self._inbox))

    def silent(self) -> bool:
        """Whether the consumer is lost; if only its request has ended, it is asked again."""
        anew = self._connection.lives != self._life
        if self.lost or anew or time.monotonic() - self._heard > 3 * self._beat_s:
            return True
        if self._asked <= 0:
            self._ask(PULL)
        return False

    def _run(self, work: Coroutine[Any, Any, object]) -> None:
        """Whatever goes wrong, the consumer is made anew."""
        try:
            self._connection.run(work, CALL_S)
        except (QuidditchError, nats_errors.Error, OSError):
            self.lost = True

    def close(self) -> None:
        """Let go of it; the server forgets it by itself, should it not hear this."""

        async def end() -> None:
            await self._subscription.unsubscribe()
            if self._connection.client.is_connected:
                await self._connection.jetstream.delete_consumer(self._stream, self._name)

        self._run(end())
