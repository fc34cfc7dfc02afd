"""Settings that every test shares: how long properties look, and where real text lies.

`pytest` runs each property on a few examples; `pytest -m long` runs the properties on many, and with them the
tests that are marked `long` because they need minutes or gigabytes.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("database_contract", "writing_contract", "mapping_contract", "search_contract")

# Properties may open databases, share a test's fixture, and be inherited by several classes of a contract.
SLOW_IS_FINE = (
    HealthCheck.too_slow,
    HealthCheck.function_scoped_fixture,
    HealthCheck.data_too_large,
    HealthCheck.differing_executors,
)
settings.register_profile("default", deadline=None, max_examples=60, suppress_health_check=SLOW_IS_FINE)
settings.register_profile("long", deadline=None, max_examples=400, suppress_health_check=SLOW_IS_FINE)


def wants_long(config: pytest.Config) -> bool:
    return bool(config.getoption("markexpr") == "long")


def pytest_configure(config: pytest.Config) -> None:
    # Before test modules are imported: `@given` takes the profile that is loaded when it decorates.
    settings.load_profile("long" if wants_long(config) else "default")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Every property has a long form, so `-m long` selects it too."""
    if wants_long(config):
        for item in items:
            if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
                item.add_marker("long")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real text beside the repository; tests that need it are skipped without."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("../shared/data is not beside the repository, so there is no real text to rank")
    return folder
