"""Damage to the bytes of a directory, and a program that looks at what becomes of each.

The program never opens LMDB itself: it forks a child for every look at a damaged copy, so whatever a child dies of is
one more observation. It prints a verdict on each case as a line of JSON.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import random
import resource
import shutil
import signal
import sys
import traceback
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, Literal

import numpy as np

import quidditch

# Imported before the forks, not once in each child.
import quidditch.local
from quidditch.errors import CorruptIndex, FormatTooNew, FormatTooOld
from quidditch.index.checking import check_directory
from quidditch.index.checking.layout import Node, Page, PageFile
from quidditch.index.environment import Environment
from quidditch.index.reader import SegmentReader
from quidditch.index.snapshot import Snapshots
from quidditch.index.storage import SHARD_TABLES
from quidditch.schema.mapping import Mapping

CHILD_SECONDS = 60
"""Far more than a look takes: a child that is at it for longer hangs."""

OTHERS = 200
"""Documents beside those of the golden index, so that trees have branches and values pages of their own."""

NEW = 300
"""Documents that are written after a check has passed."""


def _maker() -> ModuleType:
    path = Path(__file__).parent.parent / "golden" / "make.py"
    spec = importlib.util.spec_from_file_location("golden_make", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKE = _maker()
NAME: str = MAKE.NAME


# ------------------------------------------------------------------------------------------------- the directory


def make_directory(folder: Path) -> None:
    """A directory with an index of all kinds of fields, ids and deletes, in several segments and a buffer."""
    chance = random.Random(3)
    words = [f"word{n}" for n in range(300)]
    with quidditch.connect(folder) as database:
        index = database.create_index(NAME, MAKE.MAPPINGS)
        index.add_many(
            {
                "_id": f"other-{n}",
                "body": " ".join(chance.choices(words, k=20)),
                "tags": chance.choices(words, k=3),
            }
            for n in range(OTHERS)
        )
        index.flush()
        index.bulk([{"delete": {"_id": f"other-{n}"}} for n in range(0, OTHERS, 9)])
        MAKE.write(index)


def all_ids() -> list[str]:
    """Every id that the directory knows or knew, and one that it never did."""
    golden = [MAKE.LONG_ID if n == 7 else f"doc-{n:03}" for n in range(171)]
    return golden + [f"other-{n}" for n in range(OTHERS)]


def sight(folder: Path) -> dict[str, str]:
    """Everything that a reader can see of the directory, each part of it as a digest."""
    with quidditch.connect(folder, readonly=True) as database:
        index = database[NAME]
        answers = MAKE.answers(index)
        parts: dict[str, Any] = {
            **answers,
            "indices": database.indices(),
            "scan": [(hit.id, hit.source) for hit in index.scan()],
            "settings": index.settings,
            "length": len(index),
            "explanation": index.explain("doc-020", {"match": {"body": "common river"}}).to_dict(),
        }
    parts |= segments(folder)
    return {name: hashlib.blake2b(repr(part).encode()).hexdigest()[:16] for name, part in parts.items()}


def segments(folder: Path) -> dict[str, Any]:
    """What the segments and the buffer hold, term by term and column by column."""
    (file,) = folder.glob("*/0/data.mdb")
    environment = Environment(file.parent, SHARD_TABLES, readonly=True)
    mapping = Mapping.parse(MAKE.MAPPINGS, analyzers={"english", "standard"})
    parts: dict[str, Any] = {}
    with environment.translated(), Snapshots(environment).open(lambda: mapping) as snapshot:
        parts["id map"] = [(snapshot.entry(one), snapshot.locate(one)) for one in all_ids()]
        for number, reader in enumerate(snapshot.segments):
            parts[f"segment {number}"] = (
                _documents(reader),
                [_field(reader, one.name) for one in reader.record.fields],
            )
    environment.close()
    return parts


def _documents(reader: SegmentReader) -> list[Any]:
    docs = np.arange(reader.doc_count, dtype=np.uint32)
    return [
        reader.record,
        list(reader.deleted),
        reader.ids(docs),
        reader.sources(docs),
        reader.seq_nos(docs).tolist(),
    ]


def _field(reader: SegmentReader, name: str) -> list[Any]:
    lengths, column = reader.lengths(name), reader.column(name)
    held: list[Any] = [name, list(reader.exists(name)), None if lengths is None else lengths.tolist()]
    held.append(None if column is None else (column.docs.tolist(), column.values.tolist()))
    for term in reader.terms(name):
        postings = reader.postings(name, term)
        assert postings is not None
        freqs, positions = postings.freqs(), postings.positions()
        held += [term, postings.docs().tolist(), None if freqs is None else freqs.tolist()]
        held.append(None if positions is None else positions[1].tolist())
    return held


def write_on(folder: Path) -> str:
    """Write, replace, delete and merge in the directory; what is wrong afterwards, in words."""
    with quidditch.connect(folder) as database:
        index = database[NAME]
        expected = {hit.id: hit.source for hit in index.scan()}
        new = {f"new-{n}": {"body": f"common word{n}", "year": n % 50} for n in range(NEW)}
        new |= {one: {"body": "replaced"} for one in ("doc-020", "other-1", MAKE.LONG_ID)}
        gone = ["doc-021", "other-2", "new-7", "doc-166"]
        index.add_many({"_id": one, **doc} for one, doc in new.items())
        for one in gone:
            index.delete(one)
        index.add({"body": "buffered"}, "new-1")
        index.force_merge()
        expected |= new
        expected["new-1"] = {"body": "buffered"}
        expected = {one: doc for one, doc in expected.items() if one not in gone}
        if {hit.id: hit.source for hit in index.scan()} != expected:
            return "the documents are not those that were written"
        if index.count({"match": {"body": "word9"}}) < 1:
            return "what was written is not found"
    problems = list(check_directory(folder))
    return str(problems[0]) if problems else ""


# ------------------------------------------------------------------------------------------------------- flips


@dataclass(frozen=True)
class Flip:
    """One piece of damage.

    file:          below the directory
    start, stop:   the bytes
    other:         where the page begins that is swapped with this one
    mask:          hexadecimal: what the bytes are combined with
    """

    file: str
    kind: Literal["bit", "byte", "run", "zero", "swap", "truncate"]
    start: int
    stop: int
    other: int = 0
    mask: str = ""

    def apply(self, data: bytearray) -> None:
        size = self.stop - self.start
        if self.kind == "truncate":
            del data[self.start :]
        elif self.kind == "zero":
            data[self.start : self.stop] = bytes(size)
        elif self.kind == "swap":
            here, there = data[self.start : self.stop], data[self.other : self.other + size]
            data[self.start : self.stop], data[self.other : self.other + size] = there, here
        else:
            for place, mask in enumerate(bytes.fromhex(self.mask), self.start):
                data[place] ^= mask


@dataclass(frozen=True)
class Value:
    """Where the value of a row lies in its file, checksum included."""

    table: str
    key: bytes
    start: int
    stop: int


@dataclass
class Target:
    """One data file: its bytes as they were, its pages that are in use, and the values of its rows."""

    name: str
    data: bytes
    page_bytes: int = 0
    pages: set[int] = field(default_factory=lambda: {0, 1})
    values: list[Value] = field(default_factory=list)

    @classmethod
    def read(cls, root: Path, name: str) -> Target:
        target = cls(name, (root / name).read_bytes())
        with (root / name).open("rb") as stream:
            file = PageFile(stream)
            target.page_bytes = file.page_bytes
            for tree in file.trees():
                is_ours = tree not in (file.newest.free, file.newest.main)
                for page in file.pages(tree):
                    target.pages.add(page.number)
                    for node in () if page.is_branch else page.nodes:
                        target._add(tree.name, page, node, is_ours)
        target.values.sort(key=lambda value: value.start)
        return target

    def _add(self, table: str, page: Page, node: Node, is_ours: bool) -> None:
        start = page.number * self.page_bytes + node.start + 8 + len(node.key)
        if node.child:
            start = node.child * self.page_bytes + 16
            last = start + node.value_bytes - 1
            self.pages.update(range(node.child, last // self.page_bytes + 1))
        if is_ours:
            self.values.append(Value(table, node.key, start, start + node.value_bytes))

    @cached_property
    def live(self) -> list[int]:
        return sorted(self.pages)

    @property
    def page_count(self) -> int:
        return max(self.pages) + 1

    def value_around(self, places: np.ndarray) -> Value | None:
        """The one value in which all these bytes lie."""
        at = bisect_right([value.start for value in self.values], int(places[0])) - 1
        value = self.values[at] if at >= 0 else None
        return value if value is not None and int(places[-1]) < value.stop else None


def draw(targets: list[Target], chance: random.Random) -> Flip:
    """Damage of any kind at a chance place, most of it where pages are in use."""
    target = chance.choices(targets, [1, 6])[0]
    kind: Any = chance.choices(["bit", "byte", "run", "zero", "swap", "truncate"], [30, 25, 20, 10, 10, 5])[0]
    size = target.page_bytes
    if kind == "truncate":
        return Flip(target.name, kind, chance.randrange(len(target.data)), len(target.data))
    page = chance.choice(target.live) if chance.random() < 0.9 else chance.randrange(target.page_count)
    if kind in ("zero", "swap"):
        return Flip(target.name, kind, page * size, (page + 1) * size, chance.choice(target.live) * size)
    # A page's own header and offsets are little of it, and a lot depends on them.
    start = page * size + chance.randrange(160 if chance.random() < 0.25 else size)
    length = chance.randrange(2, 65) if kind == "run" else 1
    stop = min(start + length, len(target.data))
    if kind == "bit":
        return Flip(target.name, kind, start, stop, mask=f"{1 << chance.randrange(8):02x}")
    mask = bytes(chance.randrange(1, 256) for _ in range(stop - start))
    return Flip(target.name, kind, start, stop, mask=mask.hex())


# ------------------------------------------------------------------------------------------------ looks at them


Say = Callable[..., None]
Look = Callable[[Path, dict[str, str], Say], None]


def look_after_check(folder: Path, baseline: dict[str, str], say: Say) -> None:
    """Check; where nothing is found, read everything, and write."""
    problems = list(check_directory(folder))
    say(stage="checked", problems=[str(problem) for problem in problems[:3]])
    if problems:
        return
    now = sight(folder)
    say(stage="read", differs=sorted(name for name in baseline if now.get(name) != baseline[name]))
    say(stage="written", wrong=write_on(folder))


def look_plainly(folder: Path, baseline: dict[str, str], say: Say) -> None:
    """Read everything without a check."""
    try:
        now = sight(folder)
    except (CorruptIndex, FormatTooNew, FormatTooOld) as error:
        say(stage="refused", words=str(error))
        return
    say(stage="read", differs=sorted(name for name in baseline if now.get(name) != baseline[name]))


def in_child(work: Callable[[Say], None]) -> dict[str, Any]:
    """What a forked child says at its work, by stage, and what it died of, if it did."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _work_and_exit(work, writing)
    os.close(writing)
    with open(reading, "rb") as stream:
        said = {line["stage"]: line for line in map(json.loads, stream)}
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        said["died"] = {"signal": signal.Signals(os.WTERMSIG(status)).name}
    return said


def _work_and_exit(work: Callable[[Say], None], writing: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(CHILD_SECONDS)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)

    def say(**words: Any) -> None:
        os.write(writing, json.dumps(words).encode() + b"\n")

    try:
        work(say)
    except BaseException:
        say(stage="failed", trace=traceback.format_exc()[-1500:])
    finally:
        os._exit(0)


class Examiner:
    """Damages copies of a directory, one case after another, and has children look at them."""

    def __init__(self, template: Path, scratch: Path) -> None:
        self._template = template
        self._copy = scratch
        files = sorted(str(file.relative_to(template)) for file in template.rglob("data.mdb"))
        self._targets = [
            Target.read(template, name) for name in sorted(files, key=lambda name: "catalog" not in name)
        ]
        self._baseline = self._of_the_undamaged()

    def _of_the_undamaged(self) -> dict[str, str]:
        self._fresh_copy()
        said = in_child(lambda say: say(stage="read", parts=sight(self._copy)))
        assert "read" in said, said
        baseline: dict[str, str] = said["read"]["parts"]
        return baseline

    def _fresh_copy(self) -> None:
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self._template, self._copy, ignore=shutil.ignore_patterns("lock.mdb", "*.lock"))

    def examine(self, seed: int, case: int) -> dict[str, Any]:
        """The verdict on one case: everything that was observed."""
        flip = draw(self._targets, random.Random(f"{seed}:{case}"))
        target = next(one for one in self._targets if one.name == flip.file)
        damaged = bytearray(target.data)
        flip.apply(damaged)
        places = self._changed(target.data, damaged)
        value = target.value_around(places) if len(places) else None
        verdict: dict[str, Any] = {"seed": seed, "case": case, "flip": asdict(flip), "changed": len(places)}
        verdict["value"] = f"{value.table} {value.key.hex()}" if value is not None else ""
        verdict["checked"] = self._look(look_after_check, flip.file, damaged)
        # What a check has passed was read already, as it is without one.
        read = {"read": verdict["checked"]["read"]} if "read" in verdict["checked"] else None
        verdict["plain"] = read or self._look(look_plainly, flip.file, damaged)
        return verdict

    def _look(self, look: Look, file: str, damaged: bytearray) -> dict[str, Any]:
        """What a child sees of a fresh copy with one damaged file."""
        self._fresh_copy()
        (self._copy / file).write_bytes(damaged)
        return in_child(partial(look, self._copy, self._baseline))

    @staticmethod
    def _changed(before: bytes, after: bytearray) -> np.ndarray:
        """The places of the bytes that are others now; those cut off count."""
        padded = np.zeros(len(before), np.int16) - 1
        padded[: len(after)] = np.frombuffer(after, np.uint8)
        return np.flatnonzero(padded != np.frombuffer(before, np.uint8))


def main(out: BinaryIO, template: str, scratch: str, seed: str, first: str, step: str, count: str) -> None:
    examiner = Examiner(Path(template), Path(scratch))
    for case in range(int(first), int(count), int(step)):
        out.write(json.dumps(examiner.examine(int(seed), case)).encode() + b"\n")
        out.flush()


if __name__ == "__main__":
    main(sys.stdout.buffer, *sys.argv[1:])
