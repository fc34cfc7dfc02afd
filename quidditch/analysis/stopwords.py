"""Stop words: the commonest function words of some languages."""

from __future__ import annotations

_WORDS: dict[str, str] = {
    # The list that Lucene's `stop` and `english` analyzers take by default.
    "english": """a an and are as at be but by for if in into is it no not of on or such that the their then there
        these they this to was will with""",
}


def stop_words(language: str) -> frozenset[str]:
    """The stop words of a language, lower case; empty where there is no list."""
    return frozenset(_WORDS.get(language, "").split())
