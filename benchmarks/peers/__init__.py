"""Quidditch beside tantivy-py, bm25s, SQLite FTS5, LanceDB, DuckDB and Whoosh: the same documents, one run.

`python -m benchmarks.peers --help` tells how; `.report` renders a run of the history, `.plot` draws it, `.growth`
measures how time grows with the documents.
"""
