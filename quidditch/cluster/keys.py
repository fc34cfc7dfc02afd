"""Small values that all processes of a cluster share: a bucket of keys in JetStream, changed by compare-and-set.

Every change of a key has a revision. A `Mirror` follows a bucket, so that reading costs nothing and whoever waits
for a change is woken by it.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import NamedTuple

from nats.js import api
from nats.js import errors as js_errors

from quidditch.cluster.connection import CALL_S, Connection, NotCommitted
from quidditch.cluster.log import SURE_S, JetStreamReader, LogLost
from quidditch.cluster.silence import Silence
from quidditch.errors import QuidditchError, StorageError, Unavailable

BEAT_S = 1.0
"""How often a mirror hears that it is served. A process has few of them, and acts on what they show."""

_LAST_OF_KEY = "Nats-Expected-Last-Subject-Sequence"
_OPERATION = "KV-Operation"

log = logging.getLogger("quidditch.cluster")


class Changed(StorageError):
    """The key is not at the revision that the change was made for: read it, and make the change again."""


class Value(NamedTuple):
    """A key's value, and the revision that it has it since."""

    data: bytes
    revision: int


class Keys:
    """A bucket: keys of letters, digits and `-_.=/`, each with its last value alone."""

    def __init__(self, connection: Connection, bucket: str) -> None:
        self._connection = connection
        self._jetstream = connection.jetstream
        self.bucket = bucket
        self.stream = f"KV_{bucket}"
        self._config: api.StreamConfig | None = None
        self._life = 0

    def create(self, *, in_memory: bool = False, max_age_s: float | None = None) -> None:
        """Make the bucket; nothing happens where it is there. After `max_age_s` without a change a key is gone.

        One in memory ends with the servers, and is made again by whoever next changes a key in it.
        """
        self._config = api.StreamConfig(
            name=self.stream,
            subjects=[f"$KV.{self.bucket}.>"],
            storage=api.StorageType.MEMORY if in_memory else api.StorageType.FILE,
            max_msgs_per_subject=1,
            max_age=max_age_s,
            num_replicas=self._connection.options.replicas,
            discard=api.DiscardPolicy.NEW,
            allow_rollup_hdrs=True,
            allow_direct=False,
            deny_delete=True,
        )
        self._make()

    def _make(self) -> None:
        config, life = self._config, self._connection.lives
        self._connection.call(lambda: self._jetstream.add_stream(config), f"making bucket {self.bucket}")
        self._life = life

    def _make_again(self) -> None:
        """Servers that were away may have come back without what they had in memory."""
        in_memory = self._config is not None and self._config.storage == api.StorageType.MEMORY
        if in_memory and self._life != self._connection.lives:
            self._make()

    def get(self, key: str) -> Value | None:
        """The value as its leader has it; None where there is none."""
        try:
            found = self._connection.call(
                lambda: self._jetstream.get_last_msg(self.stream, self._subject(key)), f"reading key {key}"
            )
        except js_errors.NotFoundError:
            return None
        if (found.headers or {}).get(_OPERATION):
            return None
        return Value(found.data or b"", int(found.seq or 0))

    def put(self, key: str, data: bytes) -> int:
        """Set a key, whatever it was; its new revision."""
        return self._publish(key, data, {})

    def replace(self, key: str, data: bytes, revision: int) -> int:
        """Set a key that is at this revision, 0 for one that never was; its new revision.

        raises: Changed   it is at another
        """
        try:
            return self._publish(key, data, {_LAST_OF_KEY: str(revision)})
        except js_errors.APIError as error:
            if error.err_code != 10071:
                raise
            raise Changed(f"key {key}: no longer at revision {revision}") from error

    def change(self, key: str, alter: Callable[[bytes | None], bytes | None]) -> int:
        """Set a key to what `alter` makes of its value, as often as others come in between; its revision.

        `alter` returning None changes nothing.
        """
        while True:
            now = self.get(key)
            data = alter(None if now is None else now.data)
            revision = 0 if now is None else now.revision
            if data is None or (now is not None and now.data == data):
                return revision
            try:
                return self.replace(key, data, revision)
            except Changed:
                continue

    def delete(self, key: str) -> None:
        self._publish(key, b"", {_OPERATION: "PURGE", "Nats-Rollup": "sub"})

    def _publish(self, key: str, data: bytes, headers: dict[str, str]) -> int:
        self._make_again()
        # By its id a change that is asked again, because the answer was lost, is known for the one that was made.
        headers = {**headers, "Nats-Msg-Id": uuid.uuid4().hex}

        async def publish() -> int:
            ack = await self._jetstream.publish(
                self._subject(key), data, timeout=CALL_S, stream=self.stream, headers=headers
            )
            if not ack.seq:
                raise NotCommitted(f"key {key}: acknowledged without a revision")
            return int(ack.seq)

        return self._connection.call(publish, f"writing key {key}")

    def _subject(self, key: str) -> str:
        return f"$KV.{self.bucket}.{key}"

    def mirror(self) -> Mirror:
        """The bucket, followed from now on; as it was at this moment when this returns."""
        return Mirror(self._connection, self)


class Mirror:
    """The values of a bucket in this process, a moment behind the bucket. Safe to share between threads."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._keys = keys
        self._connection = connection
        self._prefix = len(f"$KV.{keys.bucket}.")
        self._values: dict[str, Value] = {}
        self._silence = Silence()
        self._revision = 0
        self.before_loss: dict[str, Value] | None = None
        """What was in the bucket before NATS lost it; None while it has not."""
        self._changed = threading.Condition()
        self._ended = False
        self._reader = JetStreamReader(connection, keys.stream, 1, gaps=True, beat_s=BEAT_S)
        info = connection.call(lambda: connection.jetstream.stream_info(keys.stream), "following a bucket")
        self._thread = threading.Thread(target=self._follow, name=f"quidditch-{keys.bucket}", daemon=True)
        self._thread.start()
        self.wait_for(lambda: self._revision >= int(info.state.last_seq), 10.0, f"bucket {keys.bucket}")

    def get(self, key: str) -> Value | None:
        with self._changed:
            return self._values.get(key)

    def values(self, prefix: str = "") -> dict[str, Value]:
        """Every key that starts so."""
        with self._changed:
            return {key: value for key, value in self._values.items() if key.startswith(prefix)}

    def silent_s(self, key: str) -> float:
        """Seconds since the key was last set in which others were; infinite for one that is not there."""
        with self._changed:
            return self._silence.of(key, time.monotonic())

    def wait_for(self, true: Callable[[], object], timeout_s: float, what: str) -> None:
        """Wait until it is true; asked again at every change of the bucket.

        raises: Unavailable   it is not within `timeout_s`
        """
        with self._changed:
            if not self._changed.wait_for(true, timeout_s):
                raise Unavailable(f"{what}: waited {timeout_s:g} s in vain")

    def wait_revision(self, revision: int, timeout_s: float = 10.0) -> None:
        """Wait until the mirror has seen this revision."""
        self.wait_for(lambda: self._revision >= revision, timeout_s, f"bucket {self._keys.bucket}")

    def wait_change(self, timeout_s: float) -> None:
        """Wait for any change, for so long at most."""
        with self._changed:
            self._changed.wait(timeout_s)

    def _follow(self) -> None:
        found_s = time.monotonic()
        while not self._ended:
            try:
                self._heed()
                found_s = time.monotonic()
            except LogLost:
                if time.monotonic() - found_s < SURE_S:
                    time.sleep(0.2)
                    continue
                if self.before_loss is None:
                    log.error("bucket %s: NATS has lost what was in it", self._keys.bucket)
                    self.before_loss = self.values()
                self._reader.begin_anew(1)
                time.sleep(0.2)
            except (QuidditchError, js_errors.Error) as error:
                if not self._ended:
                    log.warning("bucket %s: %s", self._keys.bucket, error)
                    time.sleep(0.2)
            except Exception:
                # A mirror that no longer follows would have its process act on what was.
                log.exception("bucket %s", self._keys.bucket)
                time.sleep(0.2)

    def _heed(self) -> None:
        entries = self._reader.read(256, 0.5)
        if not entries:
            return
        with self._changed:
            for entry in entries:
                key = entry.subject[self._prefix :]
                self._revision = entry.sequence
                if entry.data:
                    self._values[key] = Value(entry.data, entry.sequence)
                    self._silence.heard(key, time.monotonic())
                else:
                    self._values.pop(key, None)
                    self._silence.forget(key)
            self._changed.notify_all()

    def close(self) -> None:
        self._ended = True
        self._reader.wake()
        self._thread.join(5.0)
        self._reader.close()
