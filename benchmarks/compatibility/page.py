"""The page from the results of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from benchmarks.compatibility.reasons import reason_of

CORE = """
    ping info index create get get_source exists delete update bulk mget count msearch scroll range indices.create
    indices.delete indices.exists indices.get indices.get_mapping indices.put_mapping indices.get_settings
    indices.put_settings indices.refresh indices.analyze indices.put_alias indices.get_alias indices.exists_alias
    indices.delete_alias indices.update_aliases indices.validate_query cluster.health cat.indices cat.count
    cat.aliases
"""
"""Groups of calls that every client needs."""

HEAD = """# Compatibility

How Quidditch's server answers the conformance cases that Elasticsearch 7.10 and OpenSearch 1 share, asked as a client
of OpenSearch 2.11. This page is written by `python -m benchmarks.compatibility`; the cases are not part of Quidditch.
A section is a test of several requests: one answer that differs fails it. Sections about mapping types, which
OpenSearch 2 no longer has, do not run.

{verdict}
"""

DIFFERENCES = """
## What differs on purpose

- A write is visible to every search once it is acknowledged, unless its index was given a `refresh_interval`; that is
  followed, for 60 seconds at most.
- An index has one shard, and no replica: `active_shards` of more are never there. `routing` is kept with a document,
  and demanded where the mapping says so; a document is found whatever routing is asked with. Cases that expect it to
  be missed, because another of several shards was asked, fail.
- What the engine does not have (field types, clauses, settings) is refused by name; nothing is ignored silently.
"""


def page(sections: Iterable[Mapping[str, Any]]) -> str:
    """The Markdown of a run: each section with its `folder`, its `status` and, if it failed, `reason`."""
    listed = [each for each in sections if each["status"] != "skipped"]
    core = [each for each in listed if each["folder"] in CORE.split()]
    verdict = (
        f"**Core calls: {_share(core)} of the sections that run pass.** All calls, with those that this release does "
        f"not serve: {_share(listed)}."
    )
    folders = {each["folder"] for each in listed}
    return (
        HEAD.format(verdict=verdict)
        + "\n## Core calls\n\n"
        + _table(listed, folders & set(CORE.split()))
        + "\n## All other calls\n\n"
        + _table(listed, folders - set(CORE.split()))
        + DIFFERENCES
    )


def _table(sections: list[Mapping[str, Any]], folders: Collection[str]) -> str:
    rows = ["| group | passes | what the others lack |", "|---|---:|---|"]
    for folder in sorted(folders):
        inside = [each for each in sections if each["folder"] == folder]
        lacks = Counter(reason_of(str(each.get("reason"))) for each in inside if each["status"] != "passed")
        told = ", ".join(
            f"{reason}{f' ({count})' if count > 1 else ''}" for reason, count in lacks.most_common()
        )
        passed = sum(each["status"] == "passed" for each in inside)
        rows.append(f"| {folder} | {passed} of {len(inside)} | {told} |")
    return "\n".join(rows) + "\n"


def _share(sections: list[Mapping[str, Any]]) -> str:
    passed = sum(each["status"] == "passed" for each in sections)
    return f"{passed} of {len(sections)} ({100 * passed / max(len(sections), 1):.0f} %)"
