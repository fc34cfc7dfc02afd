"""Work that a request starts and does not wait for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quidditch.server.failures import cause_of

KEPT = 1_000
"""Tasks that are remembered; the oldest that have ended are forgotten first."""

MAX_RUNNING = 8


@dataclass(slots=True)
class Task:
    """One piece of work; `response` or `error` once it has ended. Nobody but its owner finds it."""

    number: int
    action: str
    description: str
    started_ms: int
    owner: str = ""
    running_s: float = 0.0
    completed: bool = False
    response: Any = None
    error: dict[str, Any] | None = None


class Tasks:
    """The tasks of a worker by number. Workers number theirs in steps: no two share one."""

    def __init__(self, worker: int = 0, workers: int = 1) -> None:
        self._lock = threading.Lock()
        self._next = worker + 1
        self._step = workers
        self._tasks: dict[int, Task] = {}
        self._slots = threading.BoundedSemaphore(MAX_RUNNING)

    def start(self, action: str, description: str, work: Callable[[], Any], owner: str = "") -> Task:
        """A task that runs in a thread of its own."""
        with self._lock:
            task = Task(self._next, action, description, int(time.time() * 1000), owner)
            self._next += self._step
            self._tasks[task.number] = task
            ended = [each.number for each in self._tasks.values() if each.completed]
            for number in ended[: max(0, len(self._tasks) - KEPT)]:
                del self._tasks[number]
        threading.Thread(target=self._run, args=(task, work), name=f"quidditch-task-{task.number}").start()
        return task

    def _run(self, task: Task, work: Callable[[], Any]) -> None:
        with self._slots:
            started_s = time.monotonic()
            try:
                task.response = work()
            except Exception as error:
                task.error = cause_of(error)
            task.running_s = time.monotonic() - started_s
            task.completed = True

    def get(self, number: int, owner: str = "") -> Task | None:
        with self._lock:
            task = self._tasks.get(number)
        return task if task is not None and task.owner == owner else None

    def running(self, owner: str = "") -> list[Task]:
        with self._lock:
            return [task for task in self._tasks.values() if not task.completed and task.owner == owner]

    def count(self) -> int:
        """How many run."""
        with self._lock:
            return sum(not task.completed for task in self._tasks.values())
