"""The best documents of a segment without scoring them all: bounds choose candidates, and only those are scored.

`impacts.py` keeps for every term one byte a posting that its share of a score never passes; `plan.py` says which
queries are sums of such shares; `bounds.py` adds the bytes up by document; `top.py` scores what may reach the top,
by the same formula and in the same order as the scorers do, so that ids, order and score bits are theirs.
"""

from quidditch.search.pruning.plan import TermSum, plan_of
from quidditch.search.pruning.top import TermSumSearch

__all__ = ["TermSum", "TermSumSearch", "plan_of"]
