"""`quidditch cluster`: what an operator looks at and changes, over the REST API of a coordinator, so that accounts
count, and from any machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

import quidditch

from . import render
from .failures import EPILOG, CommandError
from .opening import AsJson

commands = typer.Typer()

EXCLUDE = "cluster.routing.allocation.exclude._name"
REBALANCE = "cluster.routing.rebalance.enable"

API_KEY = "QUIDDITCH_API_KEY"
"""The variable with the key of an account, where the coordinator has accounts."""

ANSWER_S = 60.0
"""How long a coordinator may take; the master carries an order out within a second."""

ClusterAt = Annotated[
    str,
    typer.Argument(metavar="DIR_OR_URL", help="The folder of a cluster, or the address of a coordinator."),
]
IndexName = Annotated[str, typer.Argument(metavar="INDEX", help="The index.")]
ShardNumber = Annotated[
    int, typer.Argument(metavar="SHARD", min=0, help="The number of the shard, from 0 on.")
]
NodeName = Annotated[str, typer.Argument(metavar="NODE", help="The data node.")]
Wait = Annotated[
    float,
    typer.Option(
        "--wait", metavar="SECONDS", min=0, help="Wait until nothing moves any more, so long at most."
    ),
]

Ask = Callable[..., Any]
"""`ask("PUT", "/_cluster/settings", body)` is the answer's body; with `lasting` it takes as long as it takes, and is
asked once only."""


@contextmanager
def coordinator(location: str) -> Iterator[Ask]:
    """Requests to a coordinator.

    raises: CommandError   there is no cluster in the folder; what the server refuses
    """
    try:
        import msgspec

        from quidditch.remote.carriers import Carrier
        from quidditch.remote.exchange import Request
        from quidditch.remote.options import checked
    except ImportError as error:
        raise quidditch.MissingLibrary(
            f"cluster: {error.name} is not installed; pip install 'quidditch[client]' installs it"
        ) from error
    given: dict[str, Any] = {"timeout_s": ANSWER_S}
    if key := os.environ.get(API_KEY):
        given["api_key"] = key
    carrier = Carrier(checked(url_of(location), given))

    def ask(method: str, path: str, body: Any = None, *, lasting: bool = False) -> Any:
        content = b"" if body is None else msgspec.json.encode(body)
        repeat: Any = "unsent" if lasting else "always"
        request = Request(
            method, path, content=content, accepts=(408,), lasting=lasting, writes=lasting, repeat=repeat
        )
        return carrier.send(request).json()

    try:
        yield ask
    finally:
        carrier.close()


def url_of(location: str) -> str:
    """The address of the coordinator of a cluster in a folder; an address stays what it is.

    raises: CommandError   there is no cluster in the folder
    """
    if location.startswith(("http://", "https://")):
        return location
    path = Path(location).resolve() / "coordinator.toml"
    if not path.exists():
        raise CommandError(f"{location}: there is no cluster; `quidditch cluster up` makes one")
    from quidditch.cluster.configuration import read_configuration

    rest = read_configuration(path, {}).rest
    return f"{'https' if rest.tls_cert else 'http'}://{rest.host}:{rest.port}"


# -------------------------------------------------------------------------------------------------- changing


@commands.command(epilog=EPILOG, no_args_is_help=True)
def move(
    location: ClusterAt,
    index: IndexName,
    shard: ShardNumber,
    source: Annotated[str, typer.Argument(metavar="FROM", help="The node that has the copy.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The node that is to have it.")],
    wait_s: Wait = 0,
    as_json: AsJson = False,
) -> None:
    """Move a copy of a shard from one node to another. It serves at the old place until it does at the new one."""
    order = {"move": {"index": index, "shard": shard, "from_node": source, "to_node": target}}
    with coordinator(location) as ask:
        ask("POST", "/_cluster/reroute?metric=version", {"commands": [order]})
        _say(ask, wait_s, as_json, f"shard {shard} of {index} moves from {source} to {target}")


@commands.command(epilog=EPILOG, no_args_is_help=True)
def drain(
    location: ClusterAt,
    node: NodeName,
    undo: Annotated[bool, typer.Option("--undo", help="Let it hold copies again.")] = False,
    wait_s: Wait = 0,
    as_json: AsJson = False,
) -> None:
    """Have a node give all its copies to others, before it is stopped for good."""
    with coordinator(location) as ask:
        known = [row["name"] for row in ask("GET", "/_cat/nodes?format=json") if "d" in row["node.role"]]
        out = _excluded(ask)
        if undo and node not in out:
            raise CommandError(f"{node} does not drain; these do: {', '.join(out) or 'none'}")
        if not undo and node not in known:
            raise CommandError(f"there is no data node {node}; there are: {', '.join(sorted(known))}")
        after = [name for name in out if name != node] + ([] if undo else [node])
        _set(ask, EXCLUDE, ",".join(after) or None)
        _say(ask, wait_s, as_json, f"{node} {'holds copies again' if undo else 'gives its copies away'}")


def _excluded(ask: Ask) -> list[str]:
    kept = ask("GET", "/_cluster/settings?flat_settings=true")
    return [name for name in kept["persistent"].get(EXCLUDE, "").split(",") if name]


def _set(ask: Ask, name: str, value: str | None) -> None:
    ask("PUT", "/_cluster/settings", {"persistent": {name: value}})


@commands.command(epilog=EPILOG, no_args_is_help=True)
def rebalance(
    location: ClusterAt,
    off: Annotated[
        bool, typer.Option("--off", help="Move nothing for balance alone, until further notice.")
    ] = False,
    wait_s: Wait = 0,
    as_json: AsJson = False,
) -> None:
    """Have copies move until no node holds two more than another; which is so unless it was switched off."""
    with coordinator(location) as ask:
        _set(ask, REBALANCE, "none" if off else None)
        ask("POST", "/_cluster/reroute?metric=version", {})
        _say(
            ask, wait_s, as_json, "copies stay where they are" if off else "copies move until nodes are even"
        )


def _say(ask: Ask, wait_s: float, as_json: bool, words: str) -> None:
    """What was done, and how the cluster is then.

    raises: CommandError   copies still move when the time is over
    """
    health = _settled(ask, wait_s)
    told = {name: health[name] for name in ("status", "relocating_shards", "initializing_shards")}
    if as_json:
        typer.echo(render.to_json({"acknowledged": True, **told}))
    else:
        typer.echo(
            f"{words}; the cluster is {told['status']}, {told['relocating_shards']} copies on their way"
        )
    if wait_s and health["timed_out"]:
        raise CommandError(f"after {wait_s:g} s copies still move; `quidditch cluster status` shows which")


def _settled(ask: Ask, wait_s: float) -> Any:
    """The health, once nothing moves, or when the time is over."""
    if not wait_s:
        return ask("GET", "/_cluster/health?timeout=0s")
    # The master looks at what has changed several times a second; what follows from it begins a moment later.
    time.sleep(min(wait_s, 1.0))
    deadline = time.monotonic() + wait_s
    while True:
        some_s = max(1, int(min(30.0, deadline - time.monotonic())))
        query = f"wait_for_no_relocating_shards=true&wait_for_no_initializing_shards=true&timeout={some_s}s"
        health = ask("GET", f"/_cluster/health?{query}")
        if not health["timed_out"] or time.monotonic() >= deadline:
            return health


# --------------------------------------------------------------------------------------------------- looking


@commands.command(epilog=EPILOG, no_args_is_help=True)
def explain(
    location: ClusterAt,
    index: Annotated[
        str | None, typer.Argument(metavar="[INDEX]", help="An index; without one, a copy that has no place.")
    ] = None,
    shard: Annotated[int, typer.Argument(metavar="[SHARD]", min=0, help="The number of the shard.")] = 0,
    replica: Annotated[bool, typer.Option("--replica", help="Of a further copy, not the first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say why a copy of a shard is where it is, or why it has no place."""
    asked = None if index is None else {"index": index, "shard": shard, "primary": not replica}
    with coordinator(location) as ask:
        told = ask("POST", "/_cluster/allocation/explain", asked)
    if as_json:
        typer.echo(render.to_json(told))
        return
    place = told.get("current_node", {}).get("name", "nowhere")
    typer.echo(f"shard {told['shard']} of {told['index']}: {told['current_state']}, on {place}")
    for words in (
        told.get("allocate_explanation"),
        told.get("explanation"),
        told.get("rebalance_explanation"),
    ):
        if words:
            typer.echo(f"  {words}")
    for node in told["node_allocation_decisions"]:
        reasons = "; ".join(each["explanation"] for each in node.get("deciders", ()))
        typer.echo(f"  {node['node_name']}: {node['node_decision']}{': ' if reasons else ''}{reasons}")


@commands.command(epilog=EPILOG, no_args_is_help=True)
def status(
    location: ClusterAt,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every second, until Ctrl-C.")] = False,
    as_json: AsJson = False,
) -> None:
    """The processes, nodes and shards of a cluster. Of a folder it is told even while no coordinator answers."""
    if as_json:
        typer.echo(render.to_json(_told(location)))
    elif watch:
        with Live(_shown(_told(location)), console=render.console(), refresh_per_second=4) as live:
            while True:
                time.sleep(1.0)
                live.update(_shown(_told(location)))
    else:
        render.console().print(_shown(_told(location)))


def _told(location: str) -> dict[str, Any]:
    """The processes on this machine, the master, the nodes that are heard, and each shard with its copies."""
    if not location.startswith(("http://", "https://")):
        try:
            from quidditch.cluster import machine
        except ImportError as error:
            raise quidditch.MissingLibrary(
                f"cluster: {error.name} is not installed; pip install 'quidditch[cluster]' installs it"
            ) from error
        return machine.status(Path(location).resolve())
    with coordinator(location) as ask:
        nodes = ask("GET", "/_cat/nodes?format=json&h=name,ip,node.role,cluster_manager,zone&full_id=true")
        rows = ask("GET", "/_cat/shards?format=json&h=index,shard,node,state,seq_no.max,failed")
    masters = [row["name"] for row in nodes if row["cluster_manager"] == "*"]
    return {
        "processes": {},
        "master": masters[0] if masters else "",
        "nodes": {row["name"]: {"address": row["ip"], "zone": row["zone"] or ""} for row in nodes},
        "shards": [
            {
                "index": row["index"],
                "shard": int(row["shard"]),
                "node": row["node"] or "",
                "state": row["state"].lower(),
                "applied": int(row["seq_no.max"] or 0),
                "failed": row["failed"] or "",
            }
            for row in rows
        ],
    }


_COLOURS = {"started": "green", "initializing": "yellow", "relocating": "cyan", "unassigned": "red"}


def _shown(told: dict[str, Any]) -> Group:
    """As tables: processes or nodes, and the copies of shards."""
    nodes = Table(box=None, pad_edge=False, header_style="bold")
    for heading in (
        "process" if told["processes"] else "node",
        "pid" if told["processes"] else "address",
        "",
    ):
        nodes.add_column(heading)
    for name, pid in told["processes"].items():
        nodes.add_row(render.plain(name), str(pid), "active" if name == told["master"] else "")
    if not told["processes"]:
        for name, about in told["nodes"].items():
            active = "active" if name == told["master"] else about["zone"]
            nodes.add_row(render.plain(name), render.plain(about["address"] or "-"), render.plain(active))
    shards = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("index", "shard", "node", "state", "applied", ""):
        shards.add_column(heading, justify="right" if heading in ("shard", "applied") else "left")
    for row in told["shards"]:
        state = Text(row["state"], _COLOURS.get(row["state"], ""))
        place = (render.plain(row["index"]), str(row["shard"]), render.plain(row["node"] or "-"))
        shards.add_row(*place, state, str(row["applied"]), render.plain(row["failed"]))
    return Group(nodes, Text(""), shards)
