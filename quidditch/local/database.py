"""`connect`, and the Database of a directory."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from quidditch.analysis.registry import ANALYZER_NAMES
from quidditch.bulk import parse_actions
from quidditch.errors import IndexNotFound, QuidditchError, RequestError, StorageError
from quidditch.index.catalog import check_name
from quidditch.interface import BulkItem, BulkResult, SearchResult
from quidditch.local.directory import Directory, Options, acquire, release
from quidditch.local.index import LocalIndex
from quidditch.local.writing import BulkWriter, failed_item
from quidditch.schema.mapping import Mapping, nearest
from quidditch.search.phases import combine
from quidditch.search.request import SearchRequest
from quidditch.types import Json

MEMORY = ":memory:"
_OPTION_NAMES = ("memory_bytes", "cache_bytes", "map_size_bytes")
_SETTINGS = ("number_of_shards", "number_of_replicas", "refresh_interval", "durability")


def connect(
    location: str | Path,
    *,
    readonly: bool = False,
    create: bool = True,
    write_timeout_s: float = 60.0,
    verify: bool = False,
    **options: Any,
) -> LocalDatabase:
    """What `quidditch.connect` says."""
    checked = _options(readonly, write_timeout_s, verify, options)
    if str(location) == MEMORY:
        return LocalDatabase._temporary(checked)
    return LocalDatabase(_path(location), checked, create)


def _options(readonly: bool, write_timeout_s: float, verify: bool, given: dict[str, Any]) -> Options:
    if verify:
        raise RequestError("connect: verify=True is not in this release")
    if (
        isinstance(write_timeout_s, bool)
        or not isinstance(write_timeout_s, int | float)
        or write_timeout_s < 0
    ):
        raise RequestError(
            f"connect: write_timeout_s: seconds of 0 or more expected, not {write_timeout_s!r}"
        )
    for name, value in given.items():
        if name not in _OPTION_NAMES:
            raise RequestError(f"connect: unknown option [{name}]{nearest(name, _OPTION_NAMES)}")
        if isinstance(value, bool) or not isinstance(value, int) or value < 1 << 20:
            raise RequestError(f"connect: {name}: a number of bytes from 1 MiB on expected, not {value!r}")
    return Options(readonly=readonly, write_timeout_s=write_timeout_s, **given)


def _path(location: str | Path) -> Path:
    text = str(location)
    if not isinstance(location, str | Path) or not text or "\0" in text:
        raise RequestError(f"connect: a directory's path expected, not {location!r}")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text)
    if scheme is not None:
        raise RequestError(
            f"connect: {text}: {scheme[1]}:// is not in this release; a directory's path expected"
        )
    try:
        return Path(text).expanduser().resolve()
    except UnicodeError:
        raise RequestError(f"connect: {text!r} holds a lone surrogate and is no path") from None
    except (OSError, RuntimeError) as error:
        raise StorageError(f"connect: {text}: {error}") from error


def _remove_directory(path: str, pid: int) -> None:
    # A forked child ends too, and the directory is its parent's.
    if pid == os.getpid():
        shutil.rmtree(path, ignore_errors=True)


class LocalDatabase:
    """The indices of one directory. Safe to share between threads; a context manager.

    After a fork a handle refuses by name: connect again in the child. Pickled, it connects again where it is
    unpickled.
    """

    def __init__(self, path: Path, options: Options, create: bool = True) -> None:
        self.path = path
        self._options = options
        self._lock = threading.Lock()
        self._directory: Directory | None = acquire(path, options, create)
        self._removal: weakref.finalize[[str, int], LocalDatabase] | None = None

    @classmethod
    def _temporary(cls, options: Options) -> LocalDatabase:
        if options.readonly:
            raise RequestError("connect: a temporary database cannot be read-only: nothing is in it")
        path = tempfile.mkdtemp(prefix="quidditch-")
        database = cls(Path(path).resolve(), options)
        # Also when the program ends without close.
        database._removal = weakref.finalize(database, _remove_directory, path, os.getpid())
        return database

    def __reduce__(self) -> tuple[Any, ...]:
        if self._removal is not None:
            raise TypeError("a temporary database (:memory:) belongs to its process and cannot be pickled")
        return (_reconnect, (str(self.path), self._options))

    def __repr__(self) -> str:
        return f"LocalDatabase({str(self.path)!r})"

    @property
    def directory(self) -> Directory:
        """What the handles on this path share in the process."""
        directory = self._directory
        if directory is None:
            raise StorageError(f"{self.path}: this handle is closed")
        return directory

    @property
    def readonly(self) -> bool:
        return self._options.readonly

    def writable(self) -> Directory:
        """The directory, if this handle may write.

        raises: StorageError   opened with readonly=True
        """
        if self._options.readonly:
            raise StorageError(f"{self.path}: opened read-only; connect without readonly=True to write")
        return self.directory

    # ---------------------------------------------------------------------------------------------- indices

    def create_index(
        self, name: str, mappings: dict[str, Json] | None = None, settings: dict[str, Json] | None = None
    ) -> LocalIndex:
        """A new, empty index.

        raises: IndexExists, MappingError, RequestError (the name or a setting)
        """
        check_name(name)
        mapping = Mapping.parse(mappings, analyzers=ANALYZER_NAMES)
        self.writable().create(name, mapping, check_settings(settings))
        return LocalIndex(self, name)

    def index(self, name: str) -> LocalIndex:
        """raises: IndexNotFound"""
        if not isinstance(name, str):
            raise RequestError(f"index: a name expected, not {name!r}")
        self.directory.catalog.get(name)
        return LocalIndex(self, name)

    def __getitem__(self, name: str) -> LocalIndex:
        return self.index(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.indices())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.directory.catalog.entries()

    def indices(self) -> list[str]:
        """The names of all indices, sorted."""
        return sorted(self.directory.catalog.entries())

    def delete_index(self, name: str) -> None:
        """Remove an index and its files.

        raises: IndexNotFound
        """
        if not isinstance(name, str):
            raise RequestError(f"delete_index: a name expected, not {name!r}")
        self.writable().delete(name)

    # --------------------------------------------------------------------------------------- bulk and search

    def bulk(self, actions: Iterable[Any], *, refresh: bool = False) -> BulkResult:
        """Carry out many writes, to one index or several; `items` says what became of each, in order.

        An index that is not there is an error of its items: nothing is created on the way.
        """
        self.writable()
        return self._bulk(actions, None)

    def _bulk(self, actions: Iterable[Any], default_index: str | None) -> BulkResult:
        if isinstance(actions, str | bytes | dict) or not isinstance(actions, Iterable):
            raise RequestError(f"bulk: an iterable of actions expected, not {type(actions).__name__}")
        started = time.monotonic()
        writers: dict[str, BulkWriter] = {}
        items: list[BulkItem] = []
        for position, action in enumerate(parse_actions(actions)):
            name = action.index or default_index
            if action.error is not None:
                items.append(failed_item(position, action, name, action.error))
                continue
            try:
                if not isinstance(name, str):
                    raise RequestError(f"bulk: action {position} names no _index")
                if name not in writers:
                    writers[name] = BulkWriter(self.directory.shard(name), name)
            except QuidditchError as error:
                items.append(failed_item(position, action, name, error))
                continue
            items += writers[name].add(position, action)
        for writer in writers.values():
            items += writer.finish()
        items.sort(key=lambda item: item.position)
        failures = sum(item.error is not None for item in items)
        ok = len(items) - failures
        return BulkResult(items, ok, round((time.monotonic() - started) * 1000))

    def search(self, index: str, body: dict[str, Json] | None = None) -> SearchResult:
        """Search with an OpenSearch request body; `index` is a name, several with commas, or patterns with `*`.

        raises: IndexNotFound, QueryError, RequestError
        """
        names = self._matching(index)
        if len(names) == 1:
            query, request = SearchRequest.from_body(body, self.directory.catalog.mapping(names[0]))
            return self.index(names[0]).run(query, request)
        results = []
        whole = SearchRequest()
        for name in names:
            query, whole = SearchRequest.from_body(body, self.directory.catalog.mapping(name))
            results.append(self.index(name).run(query, whole.from_the_start()))
        return combine(results, whole)

    def _matching(self, expression: str) -> list[str]:
        """The indices that an expression names, in its order."""
        if not isinstance(expression, str) or not expression:
            raise RequestError(f"search: an index name, or several with commas, expected, not {expression!r}")
        known = self.indices()
        names: list[str] = []
        for part in expression.split(","):
            if part == "_all":
                part = "*"
            if "*" in part:
                names += [name for name in known if fnmatch.fnmatchcase(name, part) and name not in names]
            elif part not in known:
                raise IndexNotFound(f"no index [{part}] in {self.path}{nearest(part, known)}")
            elif part not in names:
                names.append(part)
        return names

    # ------------------------------------------------------------------------------------------------- life

    def close(self) -> None:
        """Let go of the directory; the last handle of the process unmaps it, once open snapshots have ended."""
        with self._lock:
            directory, self._directory = self._directory, None
        if directory is not None:
            release(directory)
            if self._removal is not None:
                self._removal()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _reconnect(path: str, options: Options) -> LocalDatabase:
    return LocalDatabase(Path(path), options)


def check_settings(settings: dict[str, Json] | None) -> dict[str, Json]:
    """The settings of an index, flat; OpenSearch's nesting under `index` is taken too.

    raises: RequestError   naming a setting that is unknown, or a value that is not in this release
    """
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise RequestError(f"settings: an object expected, not {settings!r}")
    flat: dict[str, Json] = {}
    for key, value in settings.items():
        if not isinstance(key, str):
            raise RequestError(f"settings: a name expected, not {key!r}")
        inner = value if key == "index" and isinstance(value, dict) else {key: value}
        flat.update({name.removeprefix("index."): each for name, each in inner.items()})
    for name, value in flat.items():
        if name not in _SETTINGS:
            raise RequestError(f"settings: unknown setting [{name}]{nearest(name, _SETTINGS)}")
        if name == "number_of_shards" and (value is True or value not in (1, "1")):
            raise RequestError(
                f"settings: number_of_shards is {value!r}; a directory's index has 1 in this release"
            )
        if name == "durability" and value != "request":
            raise RequestError(f'settings: durability is {value!r}; only "request" is in this release')
    return flat
