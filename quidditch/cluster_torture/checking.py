"""A history held against what a cluster promises. Pure: touches nothing and asks nobody.

For each id, by the sequence numbers of its shard:

    order       a write that returned before another was called stands before it; no sequence number twice
    versions    each write adds one: what lies between two acknowledged ones are writes of unknown outcome, no more
    conditions  `if_seq_no` was met by one write at most, and by none that came after another; nothing is refused
                without a cause
    reads       what is read was written by somebody, as it was acknowledged; a session sees its own writes, and
                never goes back
    end         the last acknowledged write is there, or one of unknown outcome that came after it
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

from quidditch.cluster_torture.history import Event, IdHistory, Read, State, Write, by_id
from quidditch.torture.report import Finding


def check_history(events: Iterable[Event], end: Mapping[str, State]) -> list[Finding]:
    """All that contradicts the promises.

    end:  the documents that are there when everything has come to rest, by id
    """
    found: list[Finding] = []
    histories = by_id(events)
    for history in histories.values():
        for check in (_order, _versions, _conditions, _creations, _reads):
            found += check(history)
        found += _end(history, end.get(history.id))
    found += [
        Finding("foreign", f"{id}: {state} is there, and nobody wrote to this id")
        for id, state in end.items()
        if id not in histories
    ]
    return found


def _order(history: IdHistory) -> Iterator[Finding]:
    latest: Write | None = None
    for before, after in pairwise(history.acknowledged):
        if before.seq_no == after.seq_no:
            yield Finding("version", f"two writes have one sequence number: {_told(before)}; {_told(after)}")
    for write in history.acknowledged:
        if latest is not None and write.returned_s < latest.called_s:
            yield Finding("version", f"out of order: {_told(write)} returned before {_told(latest)} began")
        if latest is None or write.called_s > latest.called_s:
            latest = write


def _versions(history: IdHistory) -> Iterator[Finding]:
    """Between two acknowledged writes lie as many others as versions say; only those of unknown outcome can."""
    for before, after in pairwise(history.acknowledged):
        between = [write for write in history.unknown if write.called_s < after.returned_s]
        if before.verb == "delete" or any(write.verb == "delete" for write in between):
            # A deletion is forgotten after a while, and versions begin at 1 again.
            continue
        extra = after.version - before.version - 1
        if extra < 0:
            yield Finding("lost", f"a version came again: {_told(before)}; then {_told(after)}")
        elif extra > len(between):
            yield Finding(
                "version",
                f"{extra} versions between {_told(before)} and {_told(after)}, and {len(between)} writes that could "
                "have made them: something was applied twice",
            )
    first = history.acknowledged[0] if history.acknowledged else None
    if first is not None and first.version > 1 + len(history.unknown):
        yield Finding("version", f"{_told(first)} is the first that was acknowledged")


def _conditions(history: IdHistory) -> Iterator[Finding]:
    for place, write in enumerate(history.acknowledged):
        if write.if_seq_no is None:
            continue
        before = history.acknowledged[place - 1] if place else None
        if before is not None and before.seq_no > write.if_seq_no:
            yield Finding("conflict", f"{_told(write)}, although {_told(before)} came before it")
    for write in history.refused:
        if write.if_seq_no is None or "conflict" not in write.error:
            continue
        seen_s = min(
            (
                each.called_s
                for each in history.acknowledged
                if each.seq_no == write.if_seq_no and each.verb != "delete"
            ),
            default=float("-inf"),
        )
        others = (each for each in history.acknowledged if each.seq_no > write.if_seq_no)
        caused = any(each.called_s < write.returned_s for each in (*others, *history.unknown))
        if seen_s > float("-inf") and not caused:
            yield Finding("conflict", f"refused without a cause: {_told(write)}")


def _creations(history: IdHistory) -> Iterator[Finding]:
    """Nothing is created where something is."""
    for before, after in pairwise(history.acknowledged):
        deleted = any(
            write.verb == "delete" and write.called_s < after.returned_s for write in history.unknown
        )
        if after.verb == "create" and before.verb != "delete" and not deleted:
            yield Finding("conflict", f"{_told(after)} was created where {_told(before)} was")


def _reads(history: IdHistory) -> Iterator[Finding]:
    known = {write.seq_no: write for write in history.acknowledged}
    places = {write.serial: write.seq_no for write in history.acknowledged}
    for read in history.reads:
        if read.serial is None:
            continue
        if places.setdefault(read.serial, read.seq_no) != read.seq_no:
            yield Finding("version", f"applied twice: {_told(read)}, and at {places[read.serial]}")
            continue
        yield from _of_somebody(read, known, history)
    for session in {read.session for read in history.reads}:
        yield from _session(history, session)


def _of_somebody(read: Read, known: Mapping[int, Write], history: IdHistory) -> Iterator[Finding]:
    acknowledged = known.get(read.seq_no)
    if acknowledged is not None:
        if (acknowledged.serial, acknowledged.version) != (read.serial, read.version):
            yield Finding("disagreement", f"{_told(read)}, and acknowledged was {_told(acknowledged)}")
        return
    if not any(w.serial == read.serial and w.called_s < read.returned_s for w in history.unknown):
        yield Finding("foreign", f"{_told(read)}, and nobody wrote that by then")


def _session(history: IdHistory, session: int) -> Iterator[Finding]:
    """A session sees what it wrote and what it has seen, or what came after it."""
    own: list[Event] = [write for write in history.acknowledged if write.session == session]
    own += [read for read in history.reads if read.session == session]
    floor: Write | Read | None = None
    for event in sorted(own, key=lambda event: event.returned_s):
        if isinstance(event, Read):
            if floor is None and event.serial is None:
                continue
            if floor is not None and event.serial is None:
                deletion = _deletion(history, floor, event)
                if deletion is None:
                    yield Finding("lost", f"nothing is there ({_told(event)}) after {_told(floor)}")
                floor = deletion or floor
                continue
            if floor is not None and event.seq_no < floor.seq_no:
                yield Finding("version", f"a session went back: {_told(event)} after {_told(floor)}")
        if floor is None or event.seq_no > floor.seq_no:
            floor = event


def _deletion(history: IdHistory, floor: Write | Read, read: Read) -> Write | Read | None:
    """What a session has seen at least when it found nothing; None when there should have been something."""
    if isinstance(floor, Write) and floor.verb == "delete":
        return floor
    deletes = [each for each in history.writes() if each.verb == "delete" and each.called_s < read.returned_s]
    if any(each.outcome == "unknown" for each in deletes):
        return floor
    return min((d for d in deletes if d.seq_no > floor.seq_no), key=lambda d: d.seq_no, default=None)


def _end(history: IdHistory, state: State | None) -> Iterator[Finding]:
    last = history.acknowledged[-1] if history.acknowledged else None
    if state is None:
        deleted = any(write.verb == "delete" for write in history.unknown)
        if last is not None and last.verb != "delete" and not deleted:
            yield Finding("lost", f"nothing is there, and acknowledged was {_told(last)}")
        return
    if last is not None and state.seq_no < last.seq_no:
        yield Finding("lost", f"{history.id} is {state}, and acknowledged was {_told(last)}")
    elif last is not None and state.seq_no == last.seq_no:
        if (last.serial, last.version) != (state.serial, state.version) or last.verb == "delete":
            yield Finding("disagreement", f"{history.id} is {state}, and acknowledged was {_told(last)}")
    elif any(write.serial == state.serial for write in history.acknowledged):
        yield Finding("version", f"{history.id} is {state}, which was acknowledged elsewhere: applied twice")
    elif not any(write.serial == state.serial and write.verb != "delete" for write in history.unknown):
        yield Finding("foreign", f"{history.id} is {state}, and nobody wrote that")
    else:
        yield from _doubled_end(history, last, state)


def _doubled_end(history: IdHistory, last: Write | None, state: State) -> Iterator[Finding]:
    """Of what came after the last acknowledged write each counts once."""
    if last is None or last.verb == "delete" or any(each.verb == "delete" for each in history.unknown):
        return
    extra = state.version - last.version
    if extra > len(history.unknown):
        yield Finding(
            "version",
            f"{history.id} is {state}: {extra} versions after {_told(last)}, and {len(history.unknown)} writes of "
            "unknown outcome: something was applied twice",
        )


def _told(event: Event) -> str:
    what = "read" if isinstance(event, Read) else event.verb
    condition = "" if isinstance(event, Read) or event.if_seq_no is None else f" if {event.if_seq_no}"
    return (
        f"{what} of {event.id}{condition} by session {event.session} (serial {event.serial}, version "
        f"{event.version}, seq_no {event.seq_no}, {event.called_s:.3f} to {event.returned_s:.3f} s)"
    )
