"""The plain string as a clause, so that it goes over the network and into other clauses. `plain.py` reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from quidditch.query.dsl import Parameters, Query, clause
from quidditch.types import Json

_SURROGATE = re.compile("[\ud800-\udfff]")


@clause("quidditch_plain")
@dataclass(frozen=True, slots=True)
class Plain(Query):
    """What people type into a search box: words, "phrases", -not, prefix*, field:word. It never fails; what was cut
    is told in the result's `notes`."""

    text: str

    @classmethod
    def read(cls, body: Json, path: str, depth: int) -> Plain:
        parameters = Parameters(body, path)
        node = cls(parameters.required_text("query"), **parameters.common())
        parameters.finish()
        return node

    def body(self) -> Json:
        # JSON has no lone surrogates, and the string's own reading passes them by.
        return {"query": _SURROGATE.sub(" ", self.text)} | self.common()
