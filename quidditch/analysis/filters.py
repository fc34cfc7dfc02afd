"""Token filters: functions of one token's text, which return None to remove it.

They run once per distinct surface form, not once per token, so they need not be fast.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TypeAlias

import Stemmer

Filter: TypeAlias = Callable[[str], "str | None"]

# Soft hyphen, byte order mark, direction marks and the like: invisible, and pasted text is full of them.
# The joiners U+200C and U+200D stay, since they are spelling in Persian, Indic scripts and emoji.
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff]+")
_POSSESSIVES = ("'s", "\u2019s", "\uff07s")
_APOSTROPHES = re.compile("['\u2019\uff07]")


def lowercase(token: str) -> str | None:
    """Lower case, without invisible characters."""
    if token.isascii():
        return token.lower()
    return _INVISIBLE.sub("", token).lower()


def turkish_lowercase(token: str) -> str | None:
    """Lower case by Turkish rules: I becomes ı, and İ becomes i."""
    return lowercase(token.replace("İ", "i").replace("I", "ı"))


def possessive(token: str) -> str | None:
    """Without an English `'s` at the end."""
    return token[:-2] if token.endswith(_POSSESSIVES) else token


def before_apostrophe(token: str) -> str | None:
    """What stands before the first apostrophe: Turkish puts suffixes of names behind it."""
    return _APOSTROPHES.split(token, maxsplit=1)[0]


class Elision:
    """Removes a word from a list and the apostrophe behind it (`l'avion` is found as `avion`)."""

    __slots__ = ("articles",)

    def __init__(self, articles: str) -> None:
        self.articles = frozenset(articles.split())

    def __call__(self, token: str) -> str | None:
        parts = _APOSTROPHES.split(token, maxsplit=1)
        return parts[1] if len(parts) == 2 and parts[0] in self.articles else token


class Stop:
    """Removes the words of a list."""

    __slots__ = ("words",)

    def __init__(self, words: frozenset[str]) -> None:
        self.words = words

    def __call__(self, token: str) -> str | None:
        return None if token in self.words else token


class Stem:
    """The Snowball stemmer of a language; KeyError if the installed PyStemmer lacks it."""

    __slots__ = ("_local", "algorithm")

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        # A Stemmer object must not be used by two threads at once.
        self._local = threading.local()
        self._local.stemmer = Stemmer.Stemmer(algorithm, 0)

    def __call__(self, token: str) -> str | None:
        try:
            stemmer = self._local.stemmer
        except AttributeError:
            stemmer = self._local.stemmer = Stemmer.Stemmer(self.algorithm, 0)
        stem: str = stemmer.stemWord(token)
        return stem
