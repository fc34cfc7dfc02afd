"""Every place where a database may live has the methods of the contract, with the same parameters."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from quidditch.aio import AsyncDatabase, AsyncIndex, AsyncView
from quidditch.interface import Database, Index, View
from quidditch.local import LocalDatabase, LocalIndex, PointInTime
from quidditch.remote import RemoteDatabase, RemoteIndex, RemoteView

PAIRS = [
    (Database, LocalDatabase),
    (Database, RemoteDatabase),
    (Database, AsyncDatabase),
    (Index, LocalIndex),
    (Index, RemoteIndex),
    (Index, AsyncIndex),
    (View, PointInTime),
    (View, RemoteView),
    (View, AsyncView),
]


def public(contract: type) -> dict[str, Any]:
    return {name: value for name, value in vars(contract).items() if not name.startswith("_")}


def shape(method: Any) -> list[tuple[str, Any, Any]]:
    """Names, kinds and defaults of the parameters after `self`."""
    parameters = list(inspect.signature(method).parameters.values())[1:]
    return [(each.name, each.kind, each.default) for each in parameters]


METHODS = [
    (name, contract, kept)
    for contract, kept in PAIRS
    for name, value in public(contract).items()
    if inspect.isfunction(value)
]


@pytest.mark.parametrize(
    ("name", "contract", "kept"), METHODS, ids=lambda each: each if isinstance(each, str) else each.__name__
)
def test_every_method_has_the_parameters_of_the_contract(name: str, contract: type, kept: type) -> None:
    assert shape(getattr(kept, name)) == shape(getattr(contract, name))


@pytest.mark.parametrize(("contract", "kept"), [pair for pair in PAIRS if "Async" not in pair[1].__name__])
def test_every_operator_is_there(contract: type, kept: type) -> None:
    operators = {"__getitem__", "__contains__", "__len__", "__iter__", "__enter__", "__exit__"} & vars(
        contract
    ).keys()
    assert operators
    assert operators <= set(dir(kept))


@pytest.mark.parametrize("kept", [RemoteIndex, RemoteDatabase, AsyncIndex, AsyncDatabase])
def test_every_method_is_documented(kept: type) -> None:
    methods = [value for name, value in vars(kept).items() if inspect.isfunction(value) and name[0] != "_"]
    assert len(methods) > 10
    assert all(inspect.getdoc(method) for method in methods)
