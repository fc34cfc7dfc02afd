"""What users import: the public names, the error tree, the version, and how little importing costs."""

from __future__ import annotations

import configparser
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import quidditch
from quidditch import errors
from quidditch.version import __version__

ROOT = Path(__file__).parent.parent
IMPORT_LIMIT_US = 150_000


def error_classes() -> list[type[errors.QuidditchError]]:
    found = [value for value in vars(errors).values() if inspect.isclass(value)]
    return [value for value in found if issubclass(value, errors.QuidditchError)]


def test_all_is_what_is_exported() -> None:
    for name in quidditch.__all__:
        assert hasattr(quidditch, name), name
    assert len(set(quidditch.__all__)) == len(quidditch.__all__)
    assert {"connect", "query", "QuidditchError", "__version__"} <= set(quidditch.__all__)


def test_every_error_is_public() -> None:
    for error in error_classes():
        assert getattr(quidditch, error.__name__) is error


def _import_cost_us() -> int:
    """Microseconds that a fresh interpreter reports for `import quidditch` and all that it imports."""
    command = [sys.executable, "-X", "importtime", "-c", "import quidditch"]
    # Installed packages are compiled once; so is this one, whatever the environment says.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    report = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stderr
    found = re.search(r"^import time:\s*\d+ \|\s*(\d+) \| quidditch$", report, re.MULTILINE)
    assert found, report[-500:]
    return int(found.group(1))


def test_importing_is_cheap() -> None:
    # The best of several: a machine that is busy with other work says nothing about the import.
    costs: list[int] = []
    for _ in range(8):
        costs.append(_import_cost_us())
        if costs[-1] < IMPORT_LIMIT_US:
            return
    pytest.fail(f"import quidditch took {min(costs) / 1000:.0f} ms at best")


def test_importing_starts_no_thread_and_no_process() -> None:
    code = (
        "import threading, os, quidditch\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "tasks = '/proc/self/task'\n"
        "print(len(os.listdir(tasks)) if os.path.isdir(tasks) else 1)\n"
    )
    # NumPy's linear algebra library starts threads of its own, and is told not to.
    env = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert done.stdout.strip() == "1"


@pytest.mark.parametrize("error", error_classes(), ids=lambda error: error.__name__)
def test_every_error_says_its_status_and_type(error: type[errors.QuidditchError]) -> None:
    assert re.fullmatch(r"[a-z_]+", error.type)
    if issubclass(error, errors.RequestError):
        assert 400 <= error.status < 500
    else:
        assert 500 <= error.status < 600
    assert str(error("the index 'books' is not there")) == "the index 'books' is not there"


def test_errors_are_the_builtins_they_resemble() -> None:
    assert issubclass(quidditch.IndexNotFound, KeyError)
    assert issubclass(quidditch.DocumentNotFound, KeyError)
    assert issubclass(quidditch.StoreLocked, TimeoutError)


def test_the_version_is_one() -> None:
    assert quidditch.__version__ == __version__
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|rc\d+)?", __version__)


def test_the_changelog_has_an_unreleased_section_on_top() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE)[0] == "Unreleased"
    for heading in ("### Format", "### Wire protocol", "### Removed"):
        assert heading in text


def test_the_package_is_typed() -> None:
    assert (Path(quidditch.__file__).parent / "py.typed").exists()


def test_every_package_is_installed() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    listed = set(settings["options"]["packages"].split())
    there = {".".join(path.relative_to(ROOT).parent.parts) for path in ROOT.glob("quidditch/**/__init__.py")}
    assert there | {"quidditch_cli"} == listed
