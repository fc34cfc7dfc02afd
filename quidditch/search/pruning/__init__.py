"""The best documents of a segment without scoring them all: bounds choose candidates, and only those are scored.

`impacts.py` keeps for every term one byte a posting that its share of a score never passes, and `sums.py` adds these
up by document. Queries that are sums of terms, which `plan.py` knows, go through `bounds.py`, which finds the
candidates, and `top.py`; others of terms, through `bounded.py` and `exact.py`; phrases, through `phrases.py`. What
may reach the top is scored by the same formula and in the same order as by the scorers, so that ids, order and score
bits are theirs.
"""

from quidditch.search.pruning.bounded import BoundedSearch, terms_of
from quidditch.search.pruning.phrases import PhraseSearch, phrase_plan_of
from quidditch.search.pruning.plan import TermSum, plan_of
from quidditch.search.pruning.top import TermSumSearch

__all__ = [
    "BoundedSearch",
    "PhraseSearch",
    "TermSum",
    "TermSumSearch",
    "phrase_plan_of",
    "plan_of",
    "terms_of",
]
