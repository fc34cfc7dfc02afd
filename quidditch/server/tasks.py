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
    """One piece of work; `response` or `error` once it has ended."""

    number: int
    action: str
    description: str
    started_ms: int
    running_s: float = 0.0
    completed: bool = False
    response: Any = None
    error: dict[str, Any] | None = None


class Tasks:
    """The tasks of a server by number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next = 1
        self._tasks: dict[int, Task] = {}
        self._slots = threading.BoundedSemaphore(MAX_RUNNING)

    def start(self, action: str, description: str, work: Callable[[], Any]) -> Task:
        """A task that runs in a thread of its own."""
        with self._lock:
            task = Task(self._next, action, description, int(time.time() * 1000))
            self._next += 1
            self._tasks[task.number] = task
            for number in [each.number for each in self._tasks.values() if each.completed][
                : len(self._tasks) - KEPT
            ]:
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

    def get(self, number: int) -> Task | None:
        with self._lock:
            return self._tasks.get(number)

    def running(self) -> list[Task]:
        with self._lock:
            return [task for task in self._tasks.values() if not task.completed]
