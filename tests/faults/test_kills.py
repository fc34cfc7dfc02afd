"""Writers that are killed lose nothing; and who did lose something would be found out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

import quidditch
from quidditch.interface import Index
from quidditch.torture import Finding, campaign, run
from quidditch.torture.campaign import MOST_FAILURES, Campaign
from quidditch.torture.documents import INDEX, SHARED, document, document_id, first_serial, slot_of
from quidditch.torture.journal import Action, Done, Intent, Record, Result, read_journal
from quidditch.torture.model import CREATED, UPDATED
from quidditch.torture.observation import Request
from quidditch.torture.plan import HEAVY, plan_round
from quidditch.torture.processes import Child, observe
from quidditch.torture.report import TortureReport
from quidditch.torture.verdict import State

SEED = 20


@pytest.fixture(autouse=True, scope="module")
def compiled() -> Iterator[None]:
    """Installed packages are compiled once; so is what the children load, whatever the environment says."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
        yield


def said(findings: tuple[Finding, ...] | list[Finding]) -> str:
    """Findings as an assertion shows them."""
    return "\n".join(f"{one.kind} (seed {one.seed}, round {one.round}): {one.words}" for one in findings)


@pytest.mark.parametrize("kills", [50, pytest.param(1_000, marks=pytest.mark.long)])
def test_writers_that_are_killed_lose_nothing(tmp_path: Path, kills: int) -> None:
    report = run(tmp_path / "torture", kills=kills, seed=SEED)
    assert report, said(report.findings)
    assert report.kills >= kills
    # Fewer would mean that little was under way when the kills came.
    assert report.acknowledged > 5 * kills
    assert report.operations > report.acknowledged
    assert report.documents > 100 * kills
    assert report.checks > report.rounds // 2
    assert not (tmp_path / "torture").exists()


# ---------------------------------------------------------------------------------------------- plans


def test_kills_are_spread_over_everything_that_may_be_under_way() -> None:
    plans = [plan_round(SEED, number) for number in range(400)]
    assert plans == [plan_round(SEED, number) for number in range(400)]
    assert plans != [plan_round(SEED + 1, number) for number in range(400)]
    kills = [plan.kill for plan in plans]
    assert {kill.how for kill in kills} == {"opening", "timed", "during"}
    assert {kill.during for kill in kills if kill.how == "during"} == set(HEAVY)
    waits = [kill.wait_s for kill in kills if kill.how == "timed"]
    assert min(waits) < 1e-4 < 1e-2 < 1.0 < max(waits)
    for choice in ("fresh", "wants_async", "readonly"):
        assert {getattr(plan, choice) for plan in plans} == {True, False}


# ------------------------------------------------------------------------------------- damage is found out


@dataclass(frozen=True)
class Scene:
    """A campaign at one moment, which can be had again."""

    campaign: Campaign
    state: State
    report: TortureReport
    saved: Path

    @classmethod
    def of(cls, own: Campaign, saved: Path) -> Scene:
        shutil.copytree(own.folder.path, saved)
        return cls(own, own.state, own.report, saved)

    @property
    def index(self) -> Path:
        return self.campaign.folder.index

    @property
    def journals(self) -> Path:
        return self.campaign.folder.journals(self.report.rounds)

    def restore(self) -> None:
        self.campaign.folder.clear()
        self.campaign.state, self.campaign.report = self.state, self.report
        shutil.copytree(self.saved, self.campaign.folder.path, dirs_exist_ok=True)

    def kinds(self) -> set[str]:
        """What a verdict finds now."""
        return {finding.kind for finding in self.campaign.judge()}


@pytest.fixture(scope="module")
def tortured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    with Campaign(tmp_path_factory.mktemp("kills") / "torture", seed=SEED) as own:
        yield own


@pytest.fixture(scope="module")
def settled_scene(tortured: Campaign, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """After a verdict, with some hundred documents."""
    while (
        sum(known.content is not None for lane in tortured.state.lanes.values() for known in lane.values())
        < 200
    ):
        tortured.kill_writers()
        assert not (found := tortured.judge()), said(found)
    return Scene.of(tortured, tmp_path_factory.mktemp("settled") / "saved")


@pytest.fixture(scope="module")
def killed_scene(tortured: Campaign, settled_scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """After a kill and before its verdict, with some acknowledged writes to the writers' own ids, all durable."""
    settled_scene.restore()
    while True:
        tortured.kill_writers()
        if is_durable(tortured) and any(own_writes(path) for path in lane_journals(tortured)):
            return Scene.of(tortured, tmp_path_factory.mktemp("killed") / "saved")
        assert not (found := tortured.judge()), said(found)


@pytest.fixture
def settled(settled_scene: Scene) -> Scene:
    settled_scene.restore()
    return settled_scene


@pytest.fixture
def killed(killed_scene: Scene) -> Scene:
    killed_scene.restore()
    return killed_scene


def is_durable(own: Campaign) -> bool:
    with quidditch.connect(own.folder.index) as database:
        return INDEX in database and database[INDEX].settings.get("durability") != "async"


def lane_journals(own: Campaign) -> list[Path]:
    return sorted(own.folder.journals(own.report.rounds).glob("lane-*.jsonl"))


def own_writes(path: Path) -> list[tuple[int, Intent, Done]]:
    """(line, intent, acknowledgement) of each single write that made what its own id holds now."""
    found: list[tuple[int, Intent, Done]] = []
    touched: set[int] = set()
    records = read_journal(path)
    for line in reversed(range(len(records))):
        intent, done = records[line], records[line + 1] if line + 1 < len(records) else None
        if not isinstance(intent, Intent):
            continue
        actions = [action for step in intent.steps for action in step if action.lane != SHARED]
        alone = len(actions) == 1 and actions[0].slot not in touched
        if alone and isinstance(done, Done) and done.results[0].outcome in (CREATED, UPDATED):
            found.insert(0, (line, intent, done))
        touched.update(action.slot for action in actions)
    return found


def test_without_damage_nothing_is_found(settled: Scene, killed: Scene) -> None:
    assert killed.kinds() == set()
    settled.restore()
    assert settled.kinds() == set()


def victim(index: Index) -> str:
    """A document that belongs to one writer alone."""
    return next(hit.id for hit in index.scan() if (slot_of(hit.id) or (SHARED, 0))[0] != SHARED)


def drop(index: Index) -> None:
    index.delete(victim(index))


def drop_many(index: Index) -> None:
    index.bulk([{"delete": {"_id": hit.id}} for hit in index.scan()][::3])


def drop_all_shared(index: Index) -> None:
    index.bulk({"delete": {"_id": document_id(SHARED, slot)}} for slot in range(24))


def add_a_stranger(index: Index) -> None:
    index.add(document(7), id="stranger")


def write_again(index: Index) -> None:
    id = victim(index)
    index.add(index[id].source, id=id)


def write_something_else(index: Index) -> None:
    index.add(document(first_serial(0, 63)), id=victim(index))


def mix(index: Index) -> None:
    index.update(victim(index), {"n": -1})


def resurrect(index: Index) -> None:
    id = next(id for slot in range(150) if (id := document_id(3, slot)) not in index)
    index.add(document(first_serial(0, 3) + 1), id=id)


@pytest.mark.parametrize(
    ("damage", "kinds"),
    [
        (drop, {"lost"}),
        (drop_many, {"lost"}),
        (add_a_stranger, {"foreign"}),
        (write_again, {"version"}),
        (write_something_else, {"foreign"}),
        (mix, {"torn"}),
        (resurrect, {"lost"}),
    ],
)
def test_documents_changed_behind_its_back_are_found(
    settled: Scene, damage: Callable[[Index], None], kinds: set[str]
) -> None:
    with quidditch.connect(settled.index) as database:
        damage(database[INDEX])
    assert settled.kinds() == kinds


def test_an_index_that_was_deleted_is_found(settled: Scene) -> None:
    with quidditch.connect(settled.index) as database:
        database.delete_index(INDEX)
    assert settled.kinds() == {"lost"}


def test_a_directory_that_was_replaced_by_an_older_copy_is_found(killed: Scene, settled_scene: Scene) -> None:
    killed.campaign.folder.clear()
    shutil.copytree(killed.saved / "journals", killed.campaign.folder.path / "journals")
    shutil.copytree(settled_scene.saved / "index", killed.index)
    assert killed.kinds() & {"lost", "torn"}


def data_file(folder: Path) -> Path:
    return max(folder.glob("*/0/data.mdb"), key=lambda path: path.stat().st_size)


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def blank(path: Path) -> None:
    """Nothing is left but the first pages, which say where the others are."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(bytes(size - 8192))


@pytest.mark.parametrize("damage", [truncate, blank, Path.unlink])
def test_files_that_were_damaged_are_found(settled: Scene, damage: Callable[[Path], None]) -> None:
    """Whatever it does to the process that looks, the campaign tells of it and lives."""
    damage(data_file(settled.index))
    assert settled.kinds() & {"unopenable", "check", "crash", "error", "lost"}
    (kept,) = {finding.kept for finding in settled.campaign.report.findings}
    assert kept is not None
    assert (kept / "index").is_dir()
    told = msgspec.json.decode((kept / "findings.json").read_bytes())
    assert told[0]["seed"] == SEED
    assert told[0]["round"] == settled.report.rounds


# ------------------------------------------------------------------------------ journals that are tampered with


def rewrite(path: Path, records: list[Record]) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))


def a_journal(scene: Scene) -> Path:
    return next(path for path in lane_journals(scene.campaign) if own_writes(path))


@pytest.mark.parametrize("change", ["version", "seq_no"])
def test_numbers_that_were_not_given_are_found(killed: Scene, change: str) -> None:
    path = a_journal(killed)
    records = read_journal(path)
    line, _, done = own_writes(path)[-1]
    result = done.results[0]
    wrong = msgspec.structs.replace(result, **{change: getattr(result, change) + 1_000})
    records[line + 1] = msgspec.structs.replace(done, results=[wrong])
    rewrite(path, records)
    assert "version" in killed.kinds()


def test_a_write_that_never_was_is_missed(killed: Scene) -> None:
    path = a_journal(killed)
    number = sum(isinstance(record, Intent) for record in read_journal(path)) + 1_000
    lane = int(path.stem.removeprefix("lane-"))
    never = Action("index", lane, 0, first_serial(killed.report.rounds, lane) + 9_000_000)
    invented: list[Record] = [
        Intent("index", number, 1.0, [[never]]),
        Done(number, 1.0, [Result(CREATED, 1, 1 << 40)]),
    ]
    rewrite(path, [*read_journal(path)[: own_writes(path)[-1][0] + 2], *invented])
    assert killed.kinds() & {"lost", "torn", "version"}


def test_a_write_that_the_journal_forgot_is_found(killed: Scene) -> None:
    path = a_journal(killed)
    records = read_journal(path)
    line = own_writes(path)[-1][0]
    rewrite(path, records[:line] + records[line + 2 :])
    assert killed.kinds() != set()


def test_a_journal_that_is_garbage_is_found(killed: Scene) -> None:
    path = a_journal(killed)
    path.write_bytes(b"garbage\n" + path.read_bytes())
    assert killed.kinds() == {"journal"}


# --------------------------------------------------------------------------------------- processes that do not live


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Makes a module that child processes can run."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(name: str, code: str) -> str:
        (tmp_path / f"{name}.py").write_text(code)
        return name

    return make


ABORT = "import os, sys; sys.stdin.readline(); os.abort()"


def test_a_crash_of_the_process_that_looks_is_found(
    settled: Scene, modules: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "OBSERVER", modules("torture_crashing_observer", ABORT))
    assert settled.kinds() == {"crash"}
    assert "exit code -6" in settled.campaign.report.findings[-1].words


def test_one_that_does_not_come_back_is_found(modules: Callable[[str, str], str], tmp_path: Path) -> None:
    child = Child(modules("torture_sleeping_observer", "import time; time.sleep(600)"))
    found = observe(child, Request(str(tmp_path), [], False, 0), limit_s=0.2)
    assert child.died
    child.close()
    assert isinstance(found, Finding)
    assert found.kind == "hang"


def test_writers_that_end_by_themselves_are_found_and_the_campaign_ends(
    modules: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(campaign, "WORKLOAD", modules("torture_crashing_writers", ABORT))
    seen: list[TortureReport] = []
    report = run(tmp_path / "torture", kills=1_000, seed=SEED, watch=seen.append)
    assert not report
    assert {finding.kind for finding in report.findings} == {"crash"}
    assert report.rounds == MOST_FAILURES == len(seen)
    assert len(list((tmp_path / "torture").glob("kept-*"))) == MOST_FAILURES


# ------------------------------------------------------------------------------------------------ the directory


def test_a_directory_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    with pytest.raises(quidditch.RequestError, match="not from torture"):
        run(tmp_path, kills=1)
    with pytest.raises(quidditch.RequestError, match="not from torture"):
        run(tmp_path / "letter.txt", kills=1)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_what_an_earlier_run_left_is_cleared_away_except_what_it_kept(tmp_path: Path) -> None:
    folder = tmp_path / "torture"
    with Campaign(folder, seed=1) as own:
        (own.folder.index / "left").mkdir(parents=True)
        own.folder.keep(folder / "kept-1-0", [])
        (own.folder.index / "over").mkdir(parents=True)
    report = run(folder, kills=1, seed=SEED)
    assert report, said(report.findings)
    assert sorted(path.name for path in folder.iterdir()) == ["kept-1-0", "torture.json"]
    assert (folder / "kept-1-0" / "index" / "left").is_dir()


@pytest.mark.parametrize(
    ("minutes", "kills", "threads"), [(0.0, None, 4), (None, 0, 4), (1, 1, 0), (1, 1, 99)]
)
def test_numbers_out_of_range_are_refused(
    tmp_path: Path, minutes: float | None, kills: int | None, threads: int
) -> None:
    with pytest.raises(quidditch.RequestError, match=r"torture: (minutes|kills|threads): "):
        run(tmp_path / "torture", minutes=minutes, kills=kills, threads=threads)
    assert not (tmp_path / "torture").exists()
