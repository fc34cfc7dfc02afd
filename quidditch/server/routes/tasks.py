"""Tasks: what runs, what became of it, and the end of it before its time."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from quidditch.patterns import matches
from quidditch.server.call import Call, Reply
from quidditch.server.failures import RestError
from quidditch.server.routing import Routes
from quidditch.server.runtime import anywhere
from quidditch.server.runtime.anywhere import running_tasks, task_of
from quidditch.server.tasks import Task

routes = Routes(changes="write")

LONGEST_WAIT_S = 30.0
_CHOOSING = "actions nodes parent_task_id timeout wait_for_completion"


@routes("GET", "/_tasks/{task_id}", takes="wait_for_completion timeout")
def get_task(call: Call) -> Reply:
    number = _number(call)
    task = None if number is None else task_of(call.state, number, call.caller.name)
    if number is None or task is None:
        raise RestError(
            f"task [{call.parts['task_id']}] isn't running and hasn't stored its results",
            404,
            "resource_not_found_exception",
        )
    if call.parameters.flag("wait_for_completion"):
        _wait(call, lambda: all(each.number != number for each in _running(call)))
        task = task_of(call.state, number, call.caller.name) or task
    body: dict[str, Any] = {"completed": task.completed, "task": _task(call, task)}
    if task.error is not None:
        body["error"] = task.error
    elif task.completed:
        body["response"] = task.response
    return Reply(body)


@routes("GET", "/_tasks", takes=f"{_CHOOSING} detailed group_by")
def list_tasks(call: Call) -> Reply:
    group_by = call.parameters.choice("group_by", ("nodes", "parents", "none"), "nodes")
    if call.parameters.flag("wait_for_completion"):
        _wait(call, lambda: not _chosen(call))
    tasks = _chosen(call)
    if group_by == "none":
        return Reply({"tasks": [_task(call, task) for task in tasks]})
    listed = {_id(call, task): _task(call, task) for task in tasks}
    return Reply({"tasks": listed} if group_by == "parents" else _of_the_node(call, tasks))


@routes("POST", "/_tasks/{task_id}/_cancel", takes="wait_for_completion timeout")
def cancel_task(call: Call) -> Reply:
    """It ends after the batch that it is at, and answers how far it came. One that does not run is not there."""
    number = _number(call)
    task = None if number is None else anywhere.cancel_task(call.state, number, call.caller.name)
    if task is None:
        raise RestError(f"task [{call.parts['task_id']}] is not found", 404, "resource_not_found_exception")
    return _cancelled(call, [task])


@routes("POST", "/_tasks/_cancel", takes=_CHOOSING)
def cancel_tasks(call: Call) -> Reply:
    ending = [anywhere.cancel_task(call.state, task.number, call.caller.name) for task in _chosen(call)]
    return _cancelled(call, [task for task in ending if task is not None])


def _cancelled(call: Call, tasks: Sequence[Task]) -> Reply:
    if call.parameters.flag("wait_for_completion"):
        numbers = {task.number for task in tasks}
        _wait(call, lambda: all(each.number not in numbers for each in _running(call)))
    return Reply(_of_the_node(call, tasks))


def _number(call: Call) -> int | None:
    """The number that the path names; None for one of another node.

    raises: RestError   what is no id of a task
    """
    id = call.parts["task_id"]
    node, _, number = id.rpartition(":")
    if re.fullmatch(r"[0-9]{1,18}", number) is None or not node:
        raise RestError(f"malformed task id {id}")
    return int(number) if node == call.state.node_id else None


def _running(call: Call) -> list[Task]:
    return running_tasks(call.state, call.caller.name)


def _chosen(call: Call) -> list[Task]:
    """The tasks that run and that the query string asks for; none of them has a parent."""
    nodes = call.parameters.names("nodes") or ["_all"]
    if call.parameters.text("parent_task_id") or not any(
        name in ("_all", "_local") or matches(own, name)
        for name in nodes
        for own in (call.state.node_id, call.state.node_name)
    ):
        return []
    actions = call.parameters.names("actions") or ["*"]
    return [task for task in _running(call) if any(matches(task.action, each) for each in actions)]


def _wait(call: Call, until: Callable[[], bool]) -> None:
    end_s = time.monotonic() + (call.parameters.seconds("timeout") or LONGEST_WAIT_S)
    while not until() and time.monotonic() < end_s:
        time.sleep(0.02)


def _id(call: Call, task: Task) -> str:
    return f"{call.state.node_id}:{task.number}"


def _of_the_node(call: Call, tasks: Sequence[Task]) -> dict[str, Any]:
    if not tasks:
        return {"nodes": {}}
    host = call.state.http_address.rpartition(":")[0]
    node = {
        "name": call.state.node_name,
        "transport_address": call.state.http_address,
        "host": host,
        "ip": call.state.http_address,
        "roles": ["cluster_manager", "data"],
        "tasks": {_id(call, task): _task(call, task) for task in tasks},
    }
    return {"nodes": {call.state.node_id: node}}


def _task(call: Call, task: Task) -> dict[str, Any]:
    running_s = task.running_s if task.completed else time.time() - task.started_ms / 1000
    return {
        "node": call.state.node_id,
        "id": task.number,
        "type": "transport",
        "action": task.action,
        "description": task.description,
        "start_time_in_millis": task.started_ms,
        "running_time_in_nanos": int(running_s * 1e9),
        "cancellable": True,
        "cancelled": task.cancelled,
        "headers": {},
    }
