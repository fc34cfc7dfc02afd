"""The plugin for other people's tests: what docs/testing.md says of it."""

from __future__ import annotations

import configparser
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from quidditch_pytest import Server

ROOT = Path(__file__).parent.parent
OURS = {**os.environ, "PYTHONPATH": str(ROOT)}


def pytest_of(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A run of pytest over a folder as another project would have it, warnings being errors."""
    options = ["-p", "quidditch_pytest", "-p", "no:cacheprovider", "-W", "error", "-q", *arguments]
    command = [sys.executable, "-m", "pytest", *options, str(folder)]
    return subprocess.run(command, cwd=folder, env=OURS, capture_output=True, text=True, check=False)


def test_the_tests_of_the_documentation_pass(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/testing.md").read_text(), re.M | re.S)
    (tmp_path / "test_documented.py").write_text(blocks[0])
    done = pytest_of(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_a_test_finds_nothing_of_another_and_a_session_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "test_isolation.py").write_text(
        "import http.client, json, pytest\n"
        "def ask(url, method, path, body=None):\n"
        "    connection = http.client.HTTPConnection(url.removeprefix('http://'))\n"
        "    connection.request(method, path, body, {'content-type': 'application/json'})\n"
        "    answer = json.loads(connection.getresponse().read())\n"
        "    connection.close()\n"
        "    return answer\n"
        'SETTING = \'{"persistent": {"search.max_keep_alive": "1h"}}\'\n'
        "@pytest.mark.parametrize('time', [1, 2])\n"
        "def test_begins_empty(opensearch_url, time):\n"
        "    assert ask(opensearch_url, 'GET', '/_cat/indices?format=json&expand_wildcards=all') == []\n"
        "    assert ask(opensearch_url, 'GET', '/_cluster/settings')['persistent'] == {}\n"
        "    assert ask(opensearch_url, 'PUT', '/books/_doc/1', '{\"n\": 1}')['result'] == 'created'\n"
        "    assert ask(opensearch_url, 'POST', '/books/_search?scroll=1m', '{}')['_scroll_id']\n"
        "    assert ask(opensearch_url, 'PUT', '/_cluster/settings', SETTING)['acknowledged']\n"
        "@pytest.mark.parametrize('time', [1, 2])\n"
        "def test_keeps(quidditch_server, time):\n"
        "    written = ask(quidditch_server.url, 'PUT', '/kept/_doc/1', '{}')\n"
        "    assert written['_version'] == time\n"
    )
    done = pytest_of(tmp_path)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_who_does_not_use_it_pays_next_to_nothing() -> None:
    """No module is loaded but itself: neither NumPy nor the engine nor the server."""
    code = "import pytest, sys; before = set(sys.modules); import quidditch_pytest; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], env=OURS, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["quidditch_pytest"]


def test_pytest_finds_it_where_quidditch_is_installed() -> None:
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    assert settings["options.entry_points"]["pytest11"].strip() == "quidditch_pytest = quidditch_pytest"
    assert settings["options"]["py_modules"].split() == ["quidditch_pytest"]


def test_two_servers_know_nothing_of_each_other() -> None:
    with Server() as one, Server() as other:
        assert httpx.put(f"{one.url}/books/_doc/1", json={"n": 1}, trust_env=False).status_code == 201
        assert httpx.get(f"{other.url}/books/_doc/1", trust_env=False).status_code == 404
    with pytest.raises(httpx.ConnectError):
        httpx.get(one.url, trust_env=False)
    with pytest.raises(RuntimeError, match="does not answer"):
        one.reset()
    one.close()


def runs(pid: int) -> bool:
    """Not if it has ended and nobody has asked how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks into /proc, which Linux has")
def test_a_server_ends_with_who_started_it(tmp_path: Path) -> None:
    """Killed, not told: nothing is left running, and no directory."""
    code = (
        "import quidditch_pytest, time\n"
        "server = quidditch_pytest.Server()\n"
        "print(server._process.pid, flush=True)\n"
        "time.sleep(100)\n"
    )
    env = {**OURS, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert list(tmp_path.iterdir())
        starter.send_signal(signal.SIGKILL)
    end_s = time.monotonic() + 30
    while runs(pid) and time.monotonic() < end_s:
        time.sleep(0.02)
    assert not runs(pid)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_cannot_start_is_an_error_not_a_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ImportError('uvicorn is not installed')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"quidditch\.server\.temporary did not start"):
        Server()
