"""Why a case fails, in the reader's words: the first thing that the server refused."""

from __future__ import annotations

import re

OTHERWISE = "answers otherwise"

_REFUSALS = (
    (r"aggregations are not supported", "aggregations"),
    (r"no handler found for uri \[/(?:[^_/][^/]*/)?(_(?:cat|cluster|nodes)/[a-z_]+|_[a-z_]+)", "call `{}`"),
    (r'unknown type \\?"(\w+)', "field type `{}`"),
    (r"unknown clause \[(\w+)\]", "query `{}`"),
    (r"unknown key \[(\w+)\]", "`{}` in a body"),
    (r"unknown setting \[([\w.]+)\]", "setting `{}`"),
    (r"unknown parameter \[(\w+)\]", "mapping parameter `{}`"),
    (r"unrecognized metric: \[(\w+)\]", "metric `{}`"),
    (r"unrecognized parameters?: \[(\w+)\]", "parameter `{}`"),
    (r"custom ones are not in this release", "custom analyzers"),
    (r"error does not match", "another error than expected"),
    (r"no warning", "warnings of deprecated use"),
    (r"(?:is|are) not (?:supported|in this release)", "not in this release"),
)


def reason_of(message: str) -> str:
    """What a failure's message comes down to.

    >>> reason_of("POST /x/_search answered 400 parsing_exception: 'query.knn: unknown clause [knn]'")
    'query `knn`'
    >>> reason_of("step 3 match: count: expected 1, got 2")
    'answers otherwise'
    """
    for pattern, words in _REFUSALS:
        if found := re.search(pattern, message):
            return words.format(*found.groups())
    return OTHERWISE
