"""How a directory is opened: the options of `connect`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quidditch.errors import RequestError
from quidditch.index.environment import DEFAULT_MAP_BYTES, Environment
from quidditch.index.reader import DEFAULT_CACHE_BYTES
from quidditch.index.storage import SHARD_TABLES
from quidditch.index.writer import DEFAULT_MEMORY_BYTES
from quidditch.local.views import DEFAULT_KEEP_ALIVE_S
from quidditch.schema.mapping import nearest

MOST_BYTES = 1 << 46
MOST_SECONDS = 1e9

_BYTES = ("memory_bytes", "cache_bytes", "map_size_bytes")
_NAMES = (*_BYTES, "keep_alive_s", "allow_network_files")


@dataclass(frozen=True, slots=True)
class Options:
    """How a directory is opened. `memory_bytes` bounds indexing, `cache_bytes` what searches keep decoded,
    `map_size_bytes` the addresses reserved for each index, and so its size on disk; `keep_alive_s` is how long a
    scan may lie unused, and `allow_network_files` trusts a network file system nevertheless."""

    readonly: bool = False
    write_timeout_s: float = 60.0
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    cache_bytes: int = DEFAULT_CACHE_BYTES
    map_size_bytes: int = DEFAULT_MAP_BYTES
    keep_alive_s: float = DEFAULT_KEEP_ALIVE_S
    allow_network_files: bool = False

    def environment(self, folder: Path, *, create: bool) -> Environment:
        """A shard's environment, opened so; made anew, or there already."""
        return Environment(
            folder,
            SHARD_TABLES,
            readonly=self.readonly,
            create=create,
            write_timeout_s=self.write_timeout_s,
            map_bytes=self.map_size_bytes,
        )


def check_options(readonly: bool, write_timeout_s: float, given: dict[str, Any]) -> Options:
    """raises: RequestError   naming the option that is unknown, or its value"""
    if not is_seconds(write_timeout_s):
        raise RequestError(
            f"connect: write_timeout_s: seconds from 0 to 1e9 expected, not {write_timeout_s!r}"
        )
    for name, value in given.items():
        if name not in _NAMES:
            raise RequestError(f"connect: unknown option [{name}]{nearest(name, _NAMES)}")
        whole = isinstance(value, int) and not isinstance(value, bool)
        if name in _BYTES and not (whole and 1 << 20 <= value <= MOST_BYTES):
            raise RequestError(
                f"connect: {name}: a number of bytes from 1 MiB to 64 TiB expected, not {value!r}"
            )
        if name == "keep_alive_s" and not (is_seconds(value) and value > 0):
            raise RequestError(f"connect: keep_alive_s: seconds above 0 expected, not {value!r}")
        if name == "allow_network_files" and not isinstance(value, bool):
            raise RequestError(f"connect: allow_network_files: True or False expected, not {value!r}")
    return Options(readonly=readonly, write_timeout_s=write_timeout_s, **given)


def is_seconds(value: object) -> bool:
    """A number of seconds that a clock can wait for."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MOST_SECONDS
