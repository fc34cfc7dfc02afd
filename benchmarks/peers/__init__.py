"""Quidditch beside tantivy-py and SQLite FTS5: the same documents, the same queries, one run.

`python -m benchmarks.peers --help` tells how.
"""
