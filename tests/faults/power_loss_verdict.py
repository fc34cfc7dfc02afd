"""What may be found after a loss of power, and whether it is: promises, differences, and a look at an image."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import power_loss_workload as workload
from power_loss import Disk
from power_loss_recording import DATABASE, SEED, Recording, choose_cuts, images, scratch
from power_loss_workload import State, Version

import quidditch
from quidditch.interface import Database, Index

QUERIES: tuple[Any, ...] = (
    "dune",
    "sand spice",
    '"water desert"',
    {"range": {"n": {"gte": 20, "lt": 60}}},
    {"bool": {"must": [{"match": {"title": "worm"}}], "must_not": [{"match": {"title": "dune"}}]}},
)

Allowed = Callable[[str, int], list[State]]
"""Of an index and a lane, the states that they may be found in."""

SYNCED = {
    workload.MAIN: [(workload.MAIN, call) for call in ("flush", "force_merge", "compact", "backup")],
    workload.SECOND: [(workload.SECOND, "drop")],
}
"""Steps after which an asynchronous index has on disk all that was acknowledged before."""


class Promises:
    """What may be found after a cut."""

    def __init__(self, recorded: Recording) -> None:
        self._recorded = recorded
        self._histories = [workload.histories(lane) for lane in recorded.plan]

    def allowed(self, log_bytes: int) -> Allowed:
        """The states that the lanes may be found in when the log was so long."""
        done = [0] * len(self._histories)
        for one in self._recorded.acknowledged:
            if one.log_bytes <= log_bytes:
                done[one.lane] = max(done[one.lane], one.done)

        def states(index: str, lane: int) -> list[State]:
            first = self._settled(index, lane, done[lane])
            return [state for each in self._histories[lane][first : done[lane] + 1] for state in each]

        return states

    def _settled(self, index: str, lane: int, done: int) -> int:
        """How many of the lane's acknowledged steps must be there: all, or with `async` all up to a flush."""
        if not self._recorded.asynchronous:
            return done
        steps = enumerate(self._recorded.plan[lane][:done], 1)
        return max((place for place, step in steps if (step.index, step.call) in SYNCED[index]), default=0)

    def backed_up(self, log_bytes: int) -> Allowed | None:
        """The states that a backup may hold, once it was acknowledged: of lane 0 the one at that moment."""
        for one in self._recorded.acknowledged:
            step = self._recorded.plan[one.lane][one.done - 1]
            if step.call == "backup" and one.log_bytes <= log_bytes:
                then = self._histories[0][one.done][:1]
                others = [[state for each in history for state in each] for history in self._histories]
                return lambda index, lane: others[lane] if lane else then
        return None

    @property
    def lanes(self) -> int:
        return len(self._histories)


def live(state: State, index: str, lane: int) -> dict[str, Version] | None:
    """A lane's documents in an index; None where there is no such index."""
    if index not in state:
        return None
    mine = f"{lane}-"
    return {id: known for id, known in state[index].items() if known.doc is not None and id.startswith(mine)}


def differences(found: State, lanes: int, allowed: Allowed) -> list[str]:
    """In words, what is there and may not be, or is not there and must be."""
    wrong = [f"nobody made [{index}]" for index in found if index not in (workload.MAIN, workload.SECOND)]
    for index, lane in [(workload.SECOND, 0), *((workload.MAIN, lane) for lane in range(lanes))]:
        here = live(found, index, lane)
        may_be = [live(state, index, lane) for state in allowed(index, lane)]
        if lane:
            # Whether the index is there, lane 0 says.
            here, may_be = here or {}, [each or {} for each in may_be]
        if here not in may_be:
            wrong.append(f"lane {lane} in [{index}]: {_described(here, may_be)}")
    return wrong


def _described(here: dict[str, Version] | None, may_be: list[dict[str, Version] | None]) -> str:
    if here is None or None in may_be:
        return f"the index is {'missing' if here is None else 'there'}"
    nearest = min((each for each in may_be if each is not None), key=lambda each: _distance(here, each))
    changed = [id for id in {*here, *nearest} if here.get(id) != nearest.get(id)]
    shown = [f"{id}: found {here.get(id)}, expected {nearest.get(id)}" for id in sorted(changed)[:3]]
    return f"{len(changed)} documents differ from the nearest of {len(may_be)} states: {'; '.join(shown)}"


def _distance(one: dict[str, Version], other: dict[str, Version]) -> int:
    return sum(one.get(id) != other.get(id) for id in {*one, *other})


# -------------------------------------------------------------------------------------------------------- looking


def damages(file: Path) -> list[str]:
    """What is wrong with the pages of a data file, said without LMDB's engine."""
    from lmdb import verify

    walk: Any = verify.verify
    try:
        found = walk(str(file), subdir=False)
    except verify.VerifyError as error:
        found = [str(error)]
    return [f"{file}: {each}" for each in found]


def check_pages(folder: Path) -> None:
    """Every data file below is sound; so nothing that is done with it can crash this process."""
    for file in sorted(folder.rglob("data.mdb")):
        if file.parent.name != "new":
            digest = hashlib.blake2b(file.read_bytes()).digest()
            if digest not in _sound:
                wrong = damages(file)
                assert not wrong, "\n".join(wrong)
                _sound.add(digest)


_sound: set[bytes] = set()
"""Contents of files that were walked: from one moment to the next most files stay as they are."""


def observe(database: Database) -> State:
    """What is there, by ids; `count` and `len` agree with it, and words are found where they are."""
    found: State = {}
    for name in database.indices():
        index = database.index(name)
        hits = list(index.scan())
        versions = _versions(index, [hit.id for hit in hits])
        found[name] = {hit.id: Version(versions[hit.id], hit.source) for hit in hits}
        assert len(found[name]) == len(hits) == len(index) == index.count()
        for word in workload.WORDS[:2]:
            titles = [str(hit.source.get("title", "")).split() for hit in hits]
            assert index.count(word) == sum(word in title for title in titles)
    return found


def _versions(index: Index, ids: list[str]) -> dict[str, int]:
    """The version of each document; those of a stream were written together, so one tells for all."""
    singles = [id for id in ids if "-s" not in id]
    streamed = [id for id in ids if "-s" in id]
    found = [document for document in index.mget([*singles, *streamed[:1]]) if document is not None]
    assert len(found) == len(singles) + bool(streamed)
    numbers = {document.id: document.version for document in found}
    return {id: numbers.get(id, found[-1].version) for id in ids}


def check_scores(index: Index) -> None:
    """Scores are those of a fresh index of the same documents."""
    documents = [
        document for document in index.mget([hit.id for hit in index.scan()]) if document is not None
    ]
    documents.sort(key=lambda document: document.seq_no)
    folder = Path(tempfile.mkdtemp(dir=scratch()))
    with quidditch.connect(folder) as database:
        fresh = database.create_index("fresh", workload.MAPPINGS)
        fresh.add_many({"_id": document.id, **document.source} for document in documents)
        for query in QUERIES:
            assert _ranked(index, query) == _ranked(fresh, query)
    shutil.rmtree(folder)


def _ranked(index: Index, query: Any) -> tuple[int | None, list[tuple[str, float | None]]]:
    result = index.search(query, size=100)
    return result.total, [(hit.id, hit.score) for hit in result]


def check_life_goes_on(database: Database) -> None:
    """Whatever was found, one can go on writing."""
    if workload.MAIN not in database.indices():
        database.create_index(workload.MAIN, workload.MAPPINGS)
    index = database.index(workload.MAIN)
    before = len(index)
    index.add({"title": "after the storm"}, "after")
    assert index.get("after").version == 1
    index.force_merge()
    assert index.count("storm") == 1
    assert index.delete("after").result == "deleted"
    assert len(index) == before


def check_whole(database: Database, tolerated: str = "") -> None:
    """The engine's own check finds nothing, but perhaps at one kind of place."""
    problems = [one for one in database.check().problems if not (tolerated and one.where.endswith(tolerated))]
    assert not problems, problems


def survive(recorded: Recording, count: int, *, deep_every: int = 25, tolerated: str = "") -> int:
    """Cut the power so often, look at each image, and say how many there were. `tolerated`: see `check_whole`."""
    promises = Promises(recorded)
    folder = scratch() / "image"
    cuts = choose_cuts(recorded.records, count)
    for number, (cut, log_bytes) in enumerate(images(Disk(), recorded.records, cuts, folder)):
        try:
            survive_one(promises, log_bytes, folder, number % deep_every == 0, tolerated)
        except Exception as error:
            record = recorded.records[cut.place]
            error.add_note(f"{cut}, seed {SEED}: {record.action.name} of {record.path} at {record.offset}")
            raise
        finally:
            shutil.rmtree(folder)
    return len(cuts)


def survive_one(promises: Promises, log_bytes: int, folder: Path, deep: bool, tolerated: str) -> None:
    check_pages(folder)
    with quidditch.connect(folder / DATABASE) as database:
        found = observe(database)
        wrong = differences(found, promises.lanes, promises.allowed(log_bytes))
        assert not wrong, "\n".join(wrong)
        if deep:
            check_whole(database, tolerated)
            if workload.MAIN in found:
                check_scores(database.index(workload.MAIN))
            check_life_goes_on(database)
    backed_up = promises.backed_up(log_bytes)
    if backed_up is not None and deep:
        with quidditch.connect(folder / workload.BACKUP, readonly=True) as copy:
            check_whole(copy)
            wrong = differences(observe(copy), promises.lanes, backed_up)
            assert not wrong, "\n".join(wrong)
    if deep:
        check_pages(folder)
