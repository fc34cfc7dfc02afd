"""The OpenAPI document says what the server does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from quidditch_cli.main import app
from typer.testing import CliRunner

from quidditch.server.openapi.value_types import value_type
from quidditch.server.parameters import COMMON
from quidditch.server.routes import GROUPS

from .asking import Server

ROUTES = [route for group in GROUPS for route in group.declared]


@pytest.fixture
def document(server: Server) -> Any:
    return server("GET", "/_openapi.json").json()


def test_the_document_is_valid(document: Any) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_it_has_every_route_and_no_other(document: Any) -> None:
    told = {(path, method.upper()) for path, item in document["paths"].items() for method in item}
    declared = {(route.template, route.method) for route in ROUTES}
    heads = {(template, "HEAD") for template, method in declared if method == "GET"}
    assert told == declared | heads


def test_an_operation_lists_the_parameters_that_its_route_takes(document: Any) -> None:
    for route in ROUTES:
        listed = document["paths"][route.template][route.method.lower()]["parameters"]
        asked = {each["name"] for each in listed if each.get("in") == "query"}
        asked |= {each["$ref"].rpartition("/")[2] for each in listed if "$ref" in each}
        assert asked == route.takes | COMMON, route.template


def test_operations_have_names_of_their_own(document: Any) -> None:
    names = [each["operationId"] for item in document["paths"].values() for each in item.values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "bad"), [("size", "x"), ("version", "1.5"), ("timeout", "1 fortnight"), ("pretty", "maybe")]
)
def test_a_value_that_the_document_does_not_allow_is_refused(server: Server, name: str, bad: str) -> None:
    assert value_type(name) != {"type": "string"}
    server("PUT", "/books/_doc/1", {"title": "Dune"})
    path = "/books/_doc/1" if name == "version" else "/books/_search"
    answer = server("GET", f"{path}?{name}={bad}")
    assert answer.status_code == 400
    assert name in answer.text


def test_the_command_writes_what_the_server_answers(document: Any, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["openapi", "-o", str(tmp_path / "api.json")])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "api.json").read_text()) == document
