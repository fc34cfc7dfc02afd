"""The schema of each parameter of the query string, by its name: a name means the same on every route."""

from __future__ import annotations

from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

_FLAG: Schema = {"enum": ["true", "false", ""]}
_INTEGER: Schema = {"type": "integer", "format": "int64"}
_TIME: Schema = {"type": "string", "pattern": r"^[0-9]{1,9}(nanos|micros|ms|s|m|h|d)$", "examples": ["30s"]}

FLAGS = """
    all_shards allow_no_indices allow_partial_pit_creation allow_partial_search_results analyze_wildcard
    ccs_minimize_roundtrips detailed error_trace explain fielddata flat_settings flush forbid_closed_indices force
    full_id help human ignore_throttled ignore_unavailable include_defaults include_segment_file_sizes
    include_unloaded_segments include_unmapped lenient local only_expunge_deletes preserve_existing pretty pri
    primary_only query realtime request request_cache require_alias rest_total_hits_as_int
    return_200_for_cluster_health_timeout rewrite seq_no_primary_term track_scores ts typed_keys v
    wait_for_completion wait_for_no_initializing_shards wait_for_no_relocating_shards wait_if_ongoing write_index_only
"""
INTEGERS = """
    batched_reduce_size from if_primary_term if_seq_no max_concurrent_searches max_concurrent_shard_requests max_docs
    max_num_segments pre_filter_shard_size retry_on_conflict scroll_size size suggest_size terminate_after version
    wait_for_metadata_version
"""
TIMES = """
    cancel_after_time_interval cluster_manager_timeout keep_alive master_timeout scroll search_timeout timeout
    wait_for_timeout
"""
CHOICES = {
    "bytes": "b k kb m mb g gb t tb p pb",
    "conflicts": "abort proceed",
    "default_operator": "and or AND OR",
    "format": "json yaml text",
    "group_by": "nodes parents none",
    "health": "green yellow red",
    "level": "cluster indices shards",
    "op_type": "index create",
    "refresh": "true false wait_for",
    "time": "d h m s ms micros nanos",
    "version_type": "internal external external_gt external_gte",
    "wait_for_events": "immediate urgent high normal low languid",
    "wait_for_status": "green yellow red",
}

_BY_NAME: dict[str, Schema] = {
    **dict.fromkeys(FLAGS.split(), _FLAG),
    **dict.fromkeys(INTEGERS.split(), _INTEGER),
    **dict.fromkeys(TIMES.split(), _TIME),
    **{name: {"enum": words.split()} for name, words in CHOICES.items()},
    "min_score": {"type": "number"},
    "requests_per_second": {"type": "number"},
}


def value_type(name: str) -> Schema:
    """The schema of a parameter; text where nothing narrower is demanded."""
    return _BY_NAME.get(name, {"type": "string"})
