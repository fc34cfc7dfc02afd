"""Benchmarks: `micro` (one kernel), `end_to_end` (index and search), `peers` (side by side with others)."""
