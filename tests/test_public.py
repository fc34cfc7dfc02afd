"""What users import: the public names, the error tree, the version, and how little importing costs."""

from __future__ import annotations

import configparser
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import quidditch
from quidditch import errors
from quidditch.version import __version__

ROOT = Path(__file__).parent.parent


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


def test_importing_loads_little() -> None:
    """The engine, and what it stands on, is loaded by the first connection. What importing costs in milliseconds is
    measured by `benchmarks/end_to_end/test_importing.py`."""
    code = "import sys, quidditch; print(*{name.split('.')[0] for name in sys.modules}); print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    packages, modules = (set(line.split()) for line in said.splitlines())
    foreign = {name for name in packages - set(sys.stdlib_module_names) if not name.startswith("_")}
    assert foreign <= {"quidditch", "msgspec", "numpy", "typing_extensions"}
    rooms = {name.split(".")[1] for name in modules if name.startswith("quidditch.")}
    assert not rooms & {"index", "search", "local", "analysis", "torture", "remote", "aio", "server"}


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
