"""Torture of a cluster: its processes are killed, hang and lose their disks while clients write.

    from quidditch import cluster_torture
    report = cluster_torture.run("./torture", minutes=5)

Clients of the REST API write and read, and note what they asked and what they were told. When everything has come to
rest, that history is held against what is promised, and all copies of each shard against each other.

    campaign    a cluster, its load, faults one after the other, and checks at rest: `run`
    faults      what can befall a cluster, by name
    processes   who runs; ending, stopping and starting them
    clients     sessions at work, and what they note
    history     what they note: events
    checking    a history held against the promises; pure
    resting     a cluster at rest: the copies compared, the coordinators asked
"""

from __future__ import annotations

from quidditch.cluster_torture.campaign import ClusterReport, Size, run

__all__ = ["ClusterReport", "Size", "run"]
