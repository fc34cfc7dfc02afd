"""Requests generated from the OpenAPI document, of values that it allows and values that it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from quidditch.server.openapi import document
from quidditch.server.routes import GROUPS

from .listening import PATIENCE_S, Listening, listening


@schemathesis.serializer("application/x-ndjson")
def _lines(context: Any, value: Any) -> bytes:
    """Text as it is, and what is no text as one line of JSON."""
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else json.dumps(value).encode()


SCHEMA = schemathesis.openapi.from_dict(document(route for group in GROUPS for route in group.declared))
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)]
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    with listening(tmp_path_factory.mktemp("generated") / "data") as running:
        httpx.put(f"{running.url}/a/_doc/1", json={"title": "Dune", "year": 1965})
        yield running


def cases(operation: Any) -> st.SearchStrategy[Any]:
    return st.one_of([operation.as_strategy(generation_mode=mode) for mode in MODES])


def ask(server: Listening, operation: Any, examples: int) -> None:
    """The server answers each case in time, and never with a fault of its own."""

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(operation))
    def answered(case: Any) -> None:
        response = case.call(base_url=server.url, timeout=PATIENCE_S)
        assert response.status_code < 500, (case.as_curl_command(), response.text[:500])

    answered()


@pytest.mark.parametrize("operation", OPERATIONS[::9], ids=lambda operation: str(operation.label))
def test_generated_requests_are_answered(server: Listening, operation: Any) -> None:
    ask(server, operation, 3)


@pytest.mark.long
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: str(operation.label))
def test_many_generated_requests_are_answered(server: Listening, operation: Any) -> None:
    ask(server, operation, 100)
    assert server.answers()
