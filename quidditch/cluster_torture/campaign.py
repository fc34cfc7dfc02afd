"""A campaign: a cluster under load, one fault after the other, and now and then everything is checked at rest."""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import msgspec

from quidditch import remote
from quidditch.cluster.machine import Plan
from quidditch.cluster.nats_server import free_ports
from quidditch.cluster_torture import faults
from quidditch.cluster_torture.clients import INDEX, MAPPINGS, Recorder, load
from quidditch.cluster_torture.processes import Cluster
from quidditch.cluster_torture.resting import check_at_rest
from quidditch.errors import QuidditchError, RequestError
from quidditch.torture.report import Finding
from quidditch.types import Json

DEFAULT_MINUTES = 5.0

FAULTS_A_ROUND = 8
"""After so many the load is stopped, and everything is compared."""

BETWEEN_S = 3.0
"""Between one fault and the next, at most; the least is 0, and then it meets what the one before has left."""

SHARDS = 3

MARK = "torture-cluster.json"
"""The file that says that a directory is a campaign's."""


@dataclass(frozen=True, slots=True)
class ClusterReport:
    """What became of a campaign; true when nothing was found.

    kills:      processes ended with SIGKILL
    faults:     how often each befell the cluster
    calls:      what clients were told, by kind of call and outcome
    documents:  documents compared between all copies and with the history, over all rounds
    """

    seed: int
    rounds: int = 0
    kills: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    calls: Mapping[str, int] = field(default_factory=dict)
    documents: int = 0
    seconds: float = 0.0
    findings: tuple[Finding, ...] = ()
    kept: Path | None = None

    def __bool__(self) -> bool:
        return not self.findings

    def to_dict(self) -> dict[str, Json]:
        found = [finding.to_dict() for finding in self.findings]
        return {**asdict(self), "findings": found, "kept": None if self.kept is None else str(self.kept)}


Watch = Callable[[ClusterReport], None]


@dataclass(frozen=True, slots=True)
class Size:
    """Of the cluster that is tortured, and of its load."""

    data_nodes: int = 3
    replicas: int = 1
    nats: int = 3
    sessions: int = 4


def run(
    folder: str | Path,
    *,
    minutes: float | None = None,
    kills: int | None = None,
    seed: int | None = None,
    size: Size = Size(),
    watch: Watch | None = None,
) -> ClusterReport:
    """Torture a cluster in a directory of its own until the time or the number of kills is reached.

    minutes, kills:  whichever is reached first; 5 minutes when neither is given
    seed:            what decides everything but the clock; a new one when none is given
    watch:           is given the report so far after every fault

    The directory is removed when nothing was found; otherwise the cluster's folder, the history and the findings
    are kept there, and the campaign ends.
    raises: RequestError   a directory that is not empty, a number out of range, no nats-server
    """
    limit_s = 60 * (DEFAULT_MINUTES if minutes is None and kills is None else minutes or float("inf"))
    chance_seed = random.randrange(1 << 32) if seed is None else seed
    path = _claimed(Path(folder).resolve(), minutes, kills, chance_seed)
    campaign = Campaign(path, chance_seed, size, watch or (lambda report: None))
    try:
        campaign.begin()
        while campaign.seconds < limit_s and (kills is None or campaign.cluster.kills < kills):
            campaign.round(limit_s, kills)
            if campaign.findings:
                break
    finally:
        campaign.cluster.down()
    report = campaign.report()
    if report:
        shutil.rmtree(path)
        return report
    campaign.keep()
    return replace(report, kept=path)


def _claimed(path: Path, minutes: float | None, kills: int | None, seed: int) -> Path:
    if minutes is not None and not minutes > 0:
        raise RequestError(f"torture: minutes: more than 0 expected, not {minutes!r}")
    if kills is not None and kills < 1:
        raise RequestError(f"torture: kills: 1 or more expected, not {kills!r}")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RequestError(f"torture: {path} is there already; name a directory that is new, or empty")
    path.mkdir(parents=True, exist_ok=True)
    (path / MARK).write_bytes(msgspec.json.encode({"seed": seed}) + b"\n")
    return path


class Campaign:
    """One cluster under torture: `begin`, then rounds of faults, each with a check at its end."""

    def __init__(self, folder: Path, seed: int, size: Size, watch: Watch) -> None:
        (port,) = free_ports(1)
        self.folder = folder
        self.cluster = Cluster(folder / "cluster", Plan(size.data_nodes, size.replicas, port, nats=size.nats))
        self.recorder = Recorder()
        self.findings: list[Finding] = []
        self._seed = seed
        self._size = size
        self._watch = watch
        self._chance = random.Random(seed)
        self._befell: Counter[str] = Counter()
        self._rounds = 0
        self._documents = 0
        self._started_s = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started_s

    @property
    def urls(self) -> Sequence[str]:
        return [self.cluster.url]

    def begin(self) -> None:
        """Put the cluster up, with an index that nothing has befallen yet."""
        self.cluster.up()
        make_index(self.cluster, SHARDS, self._size.replicas)

    def round(self, limit_s: float, kills: int | None) -> None:
        """Some faults under load, and then a check at rest."""
        self._rounds += 1
        try:
            with load(self.urls, self.recorder, sessions=self._size.sessions, seed=self._seed + self._rounds):
                for _ in range(FAULTS_A_ROUND):
                    self._one_fault()
                    if self.seconds >= limit_s or (kills is not None and self.cluster.kills >= kills):
                        break
            found, documents = check_at_rest(self.cluster, self.urls, self.recorder)
        except QuidditchError as error:
            found, documents = [Finding("hang", f"{type(error).__name__}: {error}")], 0
        self._documents += documents
        self.findings += [
            replace(one, seed=self._seed, round=self._rounds, kept=self.folder) for one in found
        ]
        self._watch(self.report())

    def _one_fault(self) -> None:
        fault = faults.chosen(self._chance)
        self._befell[fault.name] += 1
        fault.act(self.cluster, self._chance)
        time.sleep(self._chance.random() * BETWEEN_S)
        self._watch(self.report())

    def report(self) -> ClusterReport:
        return ClusterReport(
            self._seed,
            self._rounds,
            self.cluster.kills,
            dict(self._befell),
            dict(self.recorder.counts),
            self._documents,
            self.seconds,
            tuple(self.findings),
        )

    def keep(self) -> None:
        """Write the history down, one event a line, and what was found, beside the cluster's folder."""
        lines = (msgspec.json.encode(event) + b"\n" for event in self.recorder.events)
        (self.folder / "history.jsonl").write_bytes(b"".join(lines))
        told = msgspec.json.encode(self.report().to_dict())
        (self.folder / "report.json").write_bytes(msgspec.json.format(told, indent=2))


def make_index(cluster: Cluster, shards: int, replicas: int) -> None:
    """The index that the load writes to, with all its copies serving."""
    with remote.connect(cluster.url) as database:
        settings: dict[str, Json] = {"number_of_shards": shards, "number_of_replicas": replicas}
        database.create_index(INDEX, MAPPINGS, settings)
    cluster.settle()
