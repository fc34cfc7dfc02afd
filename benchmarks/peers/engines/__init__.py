"""The engines that are compared, behind one small interface, `contract.Engine`.

Each indexes `title` and `text`, with positions where it can, and `group` to filter by; and keeps all three.
"""

from __future__ import annotations

from benchmarks.peers.engines.bm25s_numba import Bm25s
from benchmarks.peers.engines.contract import Engine
from benchmarks.peers.engines.duck import DuckDb
from benchmarks.peers.engines.lance import LanceDb
from benchmarks.peers.engines.ours import Quidditch
from benchmarks.peers.engines.sqlite_fts5 import Fts5
from benchmarks.peers.engines.tantivy_py import Tantivy
from benchmarks.peers.engines.whoosh_reloaded import Whoosh

ENGINES: dict[str, Engine] = {
    engine.name: engine for engine in (Quidditch(), Tantivy(), Bm25s(), Fts5(), LanceDb(), DuckDb(), Whoosh())
}
