"""The numbers of a server, as Prometheus reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from quidditch.errors import QuidditchError
from quidditch.interface import Database
from quidditch.server.runtime.board import COUNTERS, GAUGES, Board

HELP = {
    "quidditch_http_requests_total": "Requests answered, by what they do and the class of their status.",
    "quidditch_http_request_seconds": "From the head of a request to the end of its answer.",
    "quidditch_http_received_bytes_total": "Bodies received.",
    "quidditch_http_sent_bytes_total": "Bodies sent.",
    "quidditch_http_rejected_total": "Requests refused because of a limit.",
    "quidditch_http_connections": "Connections that are open, by worker.",
    "quidditch_http_in_flight": "Requests that are being answered.",
    "quidditch_http_queued": "Requests that wait for a thread.",
    "quidditch_http_in_flight_bytes": "Bodies held.",
    "quidditch_indexing_writes_total": "Documents written, by what became of them.",
    "quidditch_indexing_seconds_total": "Time in requests that write.",
    "quidditch_indexing_slow_total": "Writes that the slow log has.",
    "quidditch_search_slow_total": "Searches that the slow log has.",
    "quidditch_refresh_total": "Refreshes that were asked for.",
    "quidditch_refresh_seconds_total": "Time in refreshes that were asked for.",
    "quidditch_merge_total": "Merges that were asked for.",
    "quidditch_merge_seconds_total": "Time in merges that were asked for.",
    "quidditch_search_contexts_open": "Scrolls and points in time.",
    "quidditch_tasks_running": "Tasks that run.",
    "quidditch_cache_bytes": "Decoded parts of segments that are kept, by worker.",
    "quidditch_worker_pid": "The process of a worker.",
    "quidditch_worker_starts": "How often a worker was started.",
    "quidditch_index_documents": "Live documents.",
    "quidditch_index_deleted_documents": "Documents that are deleted and not yet merged away.",
    "quidditch_index_segments": "Segments.",
    "quidditch_lmdb_file_bytes": "The file of an index.",
    "quidditch_index_buffered_documents": "Documents that are in no segment yet.",
    "quidditch_lmdb_free_bytes": "Pages of the file that hold nothing.",
    "quidditch_lmdb_open_views": "Lasting snapshots of the worker that answers, which pin pages.",
    "quidditch_lmdb_oldest_view_seconds": "How long the oldest of them has been open.",
    "quidditch_process_resident_bytes": "Memory of a worker.",
    "quidditch_process_cpu_seconds_total": "Time of the processor, by worker.",
    "quidditch_process_open_files": "Files that a worker has open.",
    "quidditch_process_threads": "Threads of a worker.",
}


def exposition(board: Board, database: Database) -> str:
    """All numbers in Prometheus's text format: counters summed over the workers, gauges of each.

    cost: one look at every index
    """
    samples = [*_counted(board), *_indices(database), *_processes(board)]
    lines = []
    described: set[str] = set()
    for name, value in samples:
        family = _family(name)
        if family not in described:
            described.add(family)
            lines += [f"# HELP {family} {HELP[family]}", f"# TYPE {family} {_type(family)}"]
        lines.append(f"{name} {value:.10g}")
    return "\n".join(lines) + "\n"


def _family(name: str) -> str:
    bare = name.partition("{")[0]
    if bare.startswith("quidditch_http_request_seconds"):
        return "quidditch_http_request_seconds"
    return bare


def _type(family: str) -> str:
    if family == "quidditch_http_request_seconds":
        return "histogram"
    return "counter" if family.endswith("_total") else "gauge"


def _counted(board: Board) -> Iterator[tuple[str, float]]:
    for name in COUNTERS:
        yield name, board.total(name)
    for name in GAUGES:
        for worker, value in enumerate(board.each(name)):
            yield f'{name}{{worker="{worker}"}}', value


def _indices(database: Database) -> Iterator[tuple[str, float]]:
    """Each family together, as the format wants it."""
    found: dict[str, list[tuple[str, float]]] = {}
    for name, info in database.describe().items():
        # It may be deleted while this is read.
        with suppress(QuidditchError):
            if not info.closed:
                for family, value in _index(database, name):
                    found.setdefault(family, []).append((f'{family}{{index="{_escaped(name)}"}}', value))
    for samples in found.values():
        yield from samples


def _index(database: Database, name: str) -> Iterator[tuple[str, float]]:
    stats = database.index(name).stats()
    yield "quidditch_index_documents", stats.documents
    yield "quidditch_index_deleted_documents", stats.deleted
    yield "quidditch_index_buffered_documents", stats.buffered
    yield "quidditch_index_segments", stats.segments
    yield "quidditch_lmdb_file_bytes", stats.size_bytes
    yield "quidditch_lmdb_free_bytes", stats.free_bytes
    yield "quidditch_lmdb_open_views", stats.open_views
    yield "quidditch_lmdb_oldest_view_seconds", stats.oldest_view_s


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _processes(board: Board) -> Iterator[tuple[str, float]]:
    """Of each worker, where the system tells (Linux)."""
    found: dict[str, list[tuple[str, float]]] = {}
    for worker, number in enumerate(board.each("quidditch_worker_pid")):
        with suppress(OSError, ValueError, IndexError):
            for family, value in _process(Path("/proc") / str(int(number) or os.getpid())):
                found.setdefault(family, []).append((f'{family}{{worker="{worker}"}}', value))
    for samples in found.values():
        yield from samples


def _process(folder: Path) -> Iterator[tuple[str, float]]:
    # The name of the program, in parentheses, may hold anything.
    stat = (folder / "stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    yield "quidditch_process_resident_bytes", int(stat[21]) * os.sysconf("SC_PAGE_SIZE")
    yield "quidditch_process_cpu_seconds_total", (int(stat[11]) + int(stat[12])) / ticks
    yield "quidditch_process_threads", int(stat[17])
    yield "quidditch_process_open_files", len(os.listdir(folder / "fd"))
