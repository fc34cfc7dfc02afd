"""The analyzers there are, by name. Analyzers defined in an index's settings will be made here too."""

from __future__ import annotations

import functools

from quidditch.analysis import tokenizers
from quidditch.analysis.analyzer import Analyzer, Token
from quidditch.analysis.filters import (
    Elision,
    Filter,
    Stem,
    Stop,
    before_apostrophe,
    lowercase,
    possessive,
    turkish_lowercase,
)
from quidditch.analysis.stopwords import stop_words
from quidditch.errors import MappingError
from quidditch.types import Json

# fmt: off
_LANGUAGES = (
    "arabic", "armenian", "basque", "catalan", "czech", "danish", "dutch", "esperanto", "estonian",
    "finnish", "french", "german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian",
    "lithuanian", "nepali", "norwegian", "persian", "polish", "portuguese", "romanian", "russian",
    "serbian", "sesotho", "spanish", "swedish", "tamil", "turkish", "yiddish",
)
# fmt: on
_STEMMERS: dict[str, str] = {"brazilian": "portuguese", **{language: language for language in _LANGUAGES}}
"""Language analyzer -> Snowball algorithm."""

_ELISIONS = {
    "french": "l m t qu n s j d c jusqu quoiqu lorsqu puisqu",
    "italian": "c l all dall dell nell sull coll pell gl agl dagl degl negl sugl un m t s v d",
    "catalan": "d l m n s t",
    "irish": "d m b",
}

_PLAIN: dict[str, tuple[tokenizers.Tokenizer, tuple[Filter, ...]]] = {
    "standard": (tokenizers.standard, (lowercase,)),
    "simple": (tokenizers.letters, (lowercase,)),
    "whitespace": (tokenizers.whitespace, ()),
    "keyword": (tokenizers.whole, ()),
    # The standard tokenizer finds words in these by pairs of characters, so there is nothing to add.
    "cjk": (tokenizers.standard, (lowercase,)),
    "thai": (tokenizers.standard, (lowercase,)),
}

ANALYZER_NAMES: frozenset[str] = frozenset(_PLAIN) | frozenset(_STEMMERS) | {"stop", "english"}
"""Every name that `get_analyzer` takes."""


@functools.cache
def get_analyzer(name: str) -> Analyzer:
    """The analyzer of that name; MappingError, with the nearest name there is, if there is none."""
    if name in _PLAIN:
        return Analyzer(name, *_PLAIN[name])
    if name == "stop":
        return Analyzer(name, tokenizers.letters, (lowercase, Stop(stop_words("english"))))
    if name == "english":
        chain: tuple[Filter, ...] = (lowercase, possessive, Stop(stop_words("english")), Stem("porter"))
        return Analyzer(name, tokenizers.standard, chain)
    if name in _STEMMERS:
        return Analyzer(name, tokenizers.standard, _language_filters(name))
    # Needed by errors alone, so not paid for at every import.
    from rapidfuzz import process

    nearest, _, _ = process.extractOne(name, sorted(ANALYZER_NAMES))
    raise MappingError(f"unknown analyzer {name!r}: did you mean {nearest!r}?")


def analyzed(text: str, analyzer: str | None = None) -> list[dict[str, Json]]:
    """The terms that a text becomes, as OpenSearch's `_analyze` shows them; by "standard" if no analyzer is named.

    raises: MappingError   an unknown analyzer
    """
    return shown(get_analyzer(analyzer or "standard").analyze(text))


def shown(tokens: list[Token]) -> list[dict[str, Json]]:
    """Tokens as `_analyze` shows them."""
    return [
        {
            "token": token.term,
            "start_offset": token.start,
            "end_offset": token.end,
            "type": token.type,
            "position": token.position,
        }
        for token in tokens
    ]


def _language_filters(name: str) -> tuple[Filter, ...]:
    algorithm = _STEMMERS[name]
    try:
        stem = Stem(algorithm)
    except KeyError:
        raise MappingError(
            f"analyzer {name!r} needs a stemmer that the installed PyStemmer lacks: expected 3.0 or later"
        ) from None
    filters: list[Filter] = [turkish_lowercase, before_apostrophe] if name == "turkish" else [lowercase]
    if name in _ELISIONS:
        filters.append(Elision(_ELISIONS[name]))
    words = stop_words(algorithm)
    if words:
        filters.append(Stop(words))
    return (*filters, stem)
