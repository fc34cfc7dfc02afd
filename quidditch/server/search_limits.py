"""Limits that an index sets to one search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quidditch.interface import IndexInfo
from quidditch.server.shard_failures import ShardFailure, all_failed

MAX_RESULT_WINDOW = 10_000
MAX_DOCVALUE_FIELDS = 100
MAX_SLICES = 1_024

_LIFTED = "This limit can be set by changing the [index.{}] index level setting."


def check_limits(
    body: dict[str, Any], infos: Sequence[IndexInfo], node: str, *, scrolls: bool = False
) -> None:
    """raises: RestError   a search that is larger than the settings of an index allow"""
    failed = [
        ShardFailure(info.name, {"type": "illegal_argument_exception", "reason": reason})
        for info in infos
        if (reason := _excess(body, info.settings, scrolls)) is not None
    ]
    if failed:
        raise all_failed(failed, node)


def _excess(body: dict[str, Any], settings: dict[str, Any], scrolls: bool) -> str | None:
    """What is too large, in OpenSearch's words."""
    start, size = body.get("from", 0), body.get("size", 10)
    if isinstance(start, int) and isinstance(size, int):
        most = int(settings.get("max_result_window", MAX_RESULT_WINDOW))
        if scrolls and size > most:
            return (
                f"Batch size is too large, size must be less than or equal to: [{most}] but was [{size}]. Scroll "
                "batch sizes cost as much memory as result windows so they are controlled by the "
                "[index.max_result_window] index level setting."
            )
        if start + size > most:
            return (
                f"Result window is too large, from + size must be less than or equal to: [{most}] but was "
                f"[{start + size}]. See the scroll api for a more efficient way to request large data sets. "
                + _LIFTED.format("max_result_window")
            )
    slices = body.get("slice")
    most = int(settings.get("max_slices_per_scroll", MAX_SLICES))
    if isinstance(slices, dict) and isinstance(slices.get("max"), int) and slices["max"] > most:
        return (
            f"The number of slices [{slices['max']}] is too large. It must be less than [{most}]. "
            + _LIFTED.format("max_slices_per_scroll")
        )
    fields = body.get("docvalue_fields")
    most = int(settings.get("max_docvalue_fields_search", MAX_DOCVALUE_FIELDS))
    if isinstance(fields, list) and len(fields) > most:
        return (
            f"Trying to retrieve too many docvalue_fields. Must be less than or equal to: [{most}] but was "
            f"[{len(fields)}]. " + _LIFTED.format("max_docvalue_fields_search")
        )
    return None
