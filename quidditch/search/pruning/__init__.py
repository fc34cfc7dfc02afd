"""The best documents of a segment without scoring them all: bounds choose candidates, and only those are scored.

`impacts.py` keeps for every term one byte a posting that its share of a score never passes, and `sums.py` adds
these up by document. `choice.py` says which way a query goes. Sums of terms, which `plan.py` knows, go through
`top.py`, and from there through `bounds.py`, which finds the candidates, `single.py` if there is one term, or
`whole.py` if a filter leaves few documents; others of terms, through `bounded.py` and `exact.py`; phrases, through
`phrases.py`. What may reach the top is scored by the same formula and in the same order as by the scorers, so that
ids, order and score bits are theirs.
"""

from quidditch.search.pruning.choice import OpenPruned, pruned_search

__all__ = ["OpenPruned", "pruned_search"]
