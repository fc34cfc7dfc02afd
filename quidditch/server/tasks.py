"""Work that can be looked at, and ended, while it goes on: some of it no request waits for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from quidditch.server.failures import cause_of

Work: TypeAlias = Callable[[Callable[[], bool]], Any]
"""What a task does, given what it asks from time to time: whether to go on."""

KEPT = 1_000
"""Tasks that are remembered; the oldest that have ended are forgotten first."""

MAX_RUNNING = 8


@dataclass(slots=True)
class Task:
    """One piece of work; `response` or `error` once it has ended. Nobody but its owner finds it.

    cancelled:  somebody wants it to end; it does so when it next asks
    """

    number: int
    action: str
    description: str
    started_ms: int
    owner: str = ""
    running_s: float = 0.0
    completed: bool = False
    cancelled: bool = False
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

    def start(self, action: str, description: str, work: Work, owner: str = "") -> Task:
        """A task that runs in a thread of its own, and is remembered with its answer."""
        task = self._entered(action, description, owner)
        threading.Thread(target=self._run, args=(task, work), name=f"quidditch-task-{task.number}").start()
        return task

    def wait_for(self, action: str, description: str, work: Work, owner: str = "") -> Any:
        """What work gives that is done here and now: a task as long as it lasts."""
        task = self._entered(action, description, owner)
        try:
            return work(lambda: not task.cancelled)
        finally:
            with self._lock:
                del self._tasks[task.number]

    def _entered(self, action: str, description: str, owner: str) -> Task:
        with self._lock:
            task = Task(self._next, action, description, int(time.time() * 1000), owner)
            self._next += self._step
            self._tasks[task.number] = task
            ended = [each.number for each in self._tasks.values() if each.completed]
            for number in ended[: max(0, len(self._tasks) - KEPT)]:
                del self._tasks[number]
        return task

    def _run(self, task: Task, work: Work) -> None:
        with self._slots:
            started_s = time.monotonic()
            try:
                task.response = work(lambda: not task.cancelled)
            except Exception as error:
                task.error = cause_of(error)
            task.running_s = time.monotonic() - started_s
            task.completed = True

    def cancel(self, number: int, owner: str = "") -> Task | None:
        """The task that will now end before its time; None where none of this number runs."""
        task = self.get(number, owner)
        if task is None or task.completed:
            return None
        task.cancelled = True
        return task

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
