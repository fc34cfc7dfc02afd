"""An analyzer that a request to `_analyze` puts together: a tokenizer and filters, by name or as they are to be."""

from __future__ import annotations

from typing import Any

from quidditch.analysis import tokenizers
from quidditch.analysis.analyzer import Analyzer
from quidditch.analysis.filters import Filter, Stem, Stop, lowercase
from quidditch.analysis.stopwords import stop_words
from quidditch.errors import QuidditchError
from quidditch.server.body_values import names_of
from quidditch.server.failures import RestError

PARTS = ("tokenizer", "filter", "char_filter", "normalizer")
"""Keys of a request that say how to put one together."""

_TOKENIZERS: dict[str, tokenizers.Tokenizer] = {
    "standard": tokenizers.standard,
    "letter": tokenizers.letters,
    "whitespace": tokenizers.whitespace,
    "keyword": tokenizers.whole,
}


def chain_of(body: dict[str, Any]) -> list[tuple[str, Analyzer]]:
    """The tokenizer, and after each filter what it has come to: the name of the step, and all up to it.

    raises: RestError   for a part that is not known
    """
    for name in ("char_filter", "normalizer"):
        if body.get(name):
            raise RestError(f"analyze: [{name}] is not in this release")
    name = body.get("tokenizer", "keyword")
    if not isinstance(name, str) or name not in _TOKENIZERS:
        raise RestError(
            f"failed to find global tokenizer under [{name}]; one of {', '.join(_TOKENIZERS)} expected"
        )
    asked = body.get("filter") or []
    steps = asked if isinstance(asked, list) else [asked]
    filters = [_filter(step) for step in steps]
    names = [step if isinstance(step, str) else "__anonymous__" + str(step["type"]) for step in steps]
    return [
        (step, Analyzer(f"custom:{place}", _TOKENIZERS[name], tuple(filters[:place])))
        for place, step in enumerate([name, *names])
    ]


def _filter(step: Any) -> Filter:
    options = {"type": step} if isinstance(step, str) else step
    kind = options.get("type") if isinstance(options, dict) else None
    if kind == "lowercase":
        return lowercase
    if kind == "stop":
        return _stop(options.get("stopwords", "_english_"))
    if kind == "stemmer":
        return _stemmer(options.get("language", "english"))
    raise RestError(f"failed to find global filter under [{kind}]; one of lowercase, stop, stemmer expected")


def _stop(words: Any) -> Filter:
    if words == "_none_":
        return Stop(frozenset())
    if isinstance(words, str) and words.startswith("_"):
        found = stop_words(words.strip("_"))
        if not found:
            raise RestError(f"stop: no stop words of [{words}]")
        return Stop(found)
    return Stop(frozenset(names_of(words, "stopwords")))


def _stemmer(language: Any) -> Filter:
    try:
        return Stem(str(language))
    except (KeyError, QuidditchError):
        raise RestError(f"stemmer: no stemmer of [{language}]") from None
