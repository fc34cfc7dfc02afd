"""Torture: writers are killed at random moments, and what is left is held against what they were promised.

    from quidditch import torture
    report = torture.run("./torture", minutes=5)

Each round starts a process of several writer threads on one index and ends it with SIGKILL. Every operation is
written to a journal before it begins and after it was acknowledged. From the journal follows what the index must
hold: all that was acknowledged, nothing that was not asked for, and of what was under way all or nothing. A fresh
process opens the directory and says what it finds, and the two are compared. The next round goes on from there.

    campaign     rounds, one after the other, until the time is up: `run`
    plan         what a round does and when it is ended: everything that chance decides
    processes    starting, watching and killing; decides nothing
    workload     what the writers do, in a process that is going to be killed
    journal      what they meant to do and what they were told, in files that outlive them
    model        what an id holds after an action
    expectation  what the journals promise
    observation  what is there, as a fresh process finds it
    verdict      the two compared; touches nothing
"""

from __future__ import annotations

from quidditch.torture.campaign import run
from quidditch.torture.report import Finding, TortureReport

__all__ = ["Finding", "TortureReport", "run"]
