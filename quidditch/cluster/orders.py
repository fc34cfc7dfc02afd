"""What people order of the master: a copy moved, what is on its way cancelled, a copy placed. Pure.

A coordinator looks at an order by the table that it knows, and leaves it where the master finds it; the master looks
at it again, by its own. So an order that has been carried out already, by a master that died before it said so, is
found to be impossible, and is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from quidditch.cluster.allocation import Situation, Wanted, moved
from quidditch.cluster.state import Copy, RoutingTable, ShardId
from quidditch.errors import RequestError

MOST_ORDERS = 1_000
"""That are waited for at once."""


class Order(msgspec.Struct, frozen=True):
    """`move` a copy from `node` to `target`, `cancel` what is on its way to `node`, `allocate` a copy on `node`."""

    kind: str
    uuid: str
    shard: int
    node: str
    target: str = ""

    @property
    def of(self) -> ShardId:
        return ShardId(self.uuid, self.shard)


class Orders(msgspec.Struct, frozen=True):
    """Those that are waited for, each by the id of whoever gave it."""

    waiting: dict[str, tuple[Order, ...]] = {}
    version: int = 1


def carried_out(
    table: RoutingTable, order: Order, wanted: Mapping[str, Wanted], situation: Situation
) -> RoutingTable:
    """The table after an order.

    raises: RequestError   it cannot be, in words
    """
    shards = table.indices.get(order.uuid, ())
    if not 0 <= order.shard < len(shards):
        raise RequestError(f"there is no shard [{order.shard}]; the index has {len(shards)} that are placed")
    if order.kind == "cancel":
        return _with(table, order.of, _cancelled(table, order))
    target = order.target if order.kind == "move" else order.node
    why = objections(target, order.of, table, wanted, situation)
    if order.kind == "allocate":
        most = wanted[order.uuid].copies if order.uuid in wanted else 0
        staying = sum(not copy.leaving for copy in table.copies(order.of))
        if staying >= most:
            raise RequestError("all copies that are wanted have a place")
        if why:
            raise RequestError("; ".join(why.values()))
        return _with(table, order.of, [*table.copies(order.of), Copy(order.node)])
    if any(copy.leaving and copy.node == order.node for copy in table.copies(order.of)):
        raise RequestError(f"the copy on node [{order.node}] is on its way already")
    if why:
        raise RequestError("; ".join(why.values()))
    try:
        return moved(table, order.of, order.node, target)
    except ValueError as error:
        raise RequestError(str(error)) from error


def objections(
    node: str, shard: ShardId, table: RoutingTable, wanted: Mapping[str, Wanted], situation: Situation
) -> dict[str, str]:
    """Why a further copy of a shard may not be on a node, in words by the rule; nothing where it may."""
    found = {}
    known = situation.nodes.get(node)
    if known is None:
        return {"node_left": f"there is no data node [{node}]; there are {sorted(situation.nodes)}"}
    if any(copy.node == node for copy in table.copies(shard)):
        found["same_shard"] = f"node [{node}] has a copy already"
    if known.draining:
        found["filter"] = f"node [{node}] drains: it is excluded by cluster.routing.allocation.exclude"
    elif shard.uuid in wanted and node in wanted[shard.uuid].excluded:
        found["filter"] = f"node [{node}] is excluded by index.routing.allocation.exclude"
    return found


def all_carried_out(
    table: RoutingTable, orders: Iterable[Order], wanted: Mapping[str, Wanted], situation: Situation
) -> tuple[RoutingTable, list[str]]:
    """The table after orders, one after the other, and for each why it could not be; empty where it was."""
    said = []
    for order in orders:
        try:
            table = carried_out(table, order, wanted, situation)
            said.append("")
        except RequestError as error:
            said.append(str(error))
    return table, said


def _cancelled(table: RoutingTable, order: Order) -> list[Copy]:
    """The copies without the one on its way to the node, and what leaves for it staying."""
    copies = table.copies(order.of)
    coming = [copy for copy in copies if copy.node == order.node and not copy.leaving]
    leaving = [copy for copy in copies if copy.leaving]
    if not coming or not leaving:
        raise RequestError(f"no copy is on its way to node [{order.node}]")
    stays = leaving[0]
    return [Copy(copy.node) if copy is stays else copy for copy in copies if copy is not coming[0]]


def _with(table: RoutingTable, shard: ShardId, copies: Iterable[Copy]) -> RoutingTable:
    shards = list(table.indices[shard.uuid])
    shards[shard.number] = tuple(sorted(copies))
    indices = {**table.indices, shard.uuid: tuple(shards)}
    return msgspec.structs.replace(table, epoch=table.epoch + 1, indices=indices)
