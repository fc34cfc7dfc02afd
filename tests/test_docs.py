"""Documentation is claims, and claims run: every block of Python and of shell, in the order of its page."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from quidditch_cli.failures import MEANINGS
from quidditch_cli.main import app
from typer.main import get_command

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# Setting up is what .ci/run does with these very lines; the demo has tests of its own.
NOT_HERE = re.compile(r"\bvenv\b|\bquidditch demo\b")


def blocks(page: Path, language: str) -> list[str]:
    found = [text for kind, text in BLOCK.findall(page.read_text()) if kind == language]
    return [text for text in found if not NOT_HERE.search(text)]


def page_ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=page_ids)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    for number, block in enumerate(blocks(page, "python")):
        exec(compile(block, f"{page.name}#{number}", "exec"), names)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.mark.parametrize("page", PAGES, ids=page_ids)
def test_shell_blocks_run(page: Path, tmp_path: Path) -> None:
    command = tmp_path / "bin" / "quidditch"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m quidditch_cli.main "$@"\n')
    command.chmod(0o755)
    env = {**os.environ, "PATH": f"{command.parent}:{os.environ['PATH']}"}
    # A server of somebody's own may listen where the documentation says.
    script = "set -eu\n" + "\n".join(blocks(page, "sh")).replace("9200", str(free_port()))
    if "curl" in script and not shutil.which("curl") and not os.environ.get("CI"):
        pytest.skip(f"no curl on this machine: the shell blocks of {page.name} are not tested")
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_readme_marks_the_two_commands_that_set_up() -> None:
    text = (ROOT / "README.md").read_text()
    first_screen = text.split("\n## ")[0]
    for mark, word in (("main job", "quidditch demo"), ("tests", "pytest")):
        found = re.search(rf"^<!-- {mark} -->\n```sh\n(.+)\n```$", first_screen, re.MULTILINE)
        assert found, mark
        assert word in found.group(1)
        assert "python3 -m venv" in found.group(1)


def commands() -> list[str]:
    return sorted(getattr(get_command(app), "commands"))  # noqa: B009 - Typer's own Click has no public type


def section(name: str) -> str:
    found = re.search(
        rf"^## {name}\n(.*?)(?=^## |\Z)", (ROOT / "docs/cli.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert found, f"docs/cli.md has no section about {name}"
    return found.group(1)


@pytest.mark.parametrize("name", commands())
def test_every_command_is_documented_with_an_example_and_all_its_options(name: str) -> None:
    text = section(name)
    assert f"quidditch {name}" in text
    command = getattr(get_command(app), "commands")[name]  # noqa: B009
    for parameter in command.params:
        for option in parameter.opts:
            if option.startswith("--") and option not in ("--json", "--help"):
                assert option in text, f"{name} {option}"


def test_every_exit_code_is_documented() -> None:
    text = section("Exit codes")
    for code, meaning in MEANINGS.items():
        assert f"| {code} | {meaning} |" in text


@pytest.mark.parametrize("page", PAGES, ids=page_ids)
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target
