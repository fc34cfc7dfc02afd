"""`quidditch demo`: indexed once, answered at once afterwards, and never from half an index."""

from __future__ import annotations

from pathlib import Path

import command_line
import pytest
from command_line import Run
from quidditch_cli import demo, stdlib_corpus

run = command_line.run


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory in which the whole demo was built once."""
    directory = tmp_path_factory.mktemp("demo")
    demo.build(directory / demo._key())
    return directory


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library of two modules, so that building costs nothing."""
    library = tmp_path / "library"
    library.mkdir()
    (library / "dates.py").write_text('def parse_date(text):\n    """Parse a date from a string."""\n')
    (library / "trees.py").write_text('def copy_tree(path):\n    """Copy a tree [red]of files."""\n')
    monkeypatch.setattr(stdlib_corpus.sysconfig, "get_path", lambda name: str(library))
    return tmp_path / "cache"


def test_sensible_answers_come_first(run: Run, kept: Path) -> None:
    body = run("demo", "--dir", str(kept), "--json").json
    first = [hit["_id"] for hit in body["hits"]["hits"]]
    assert "datetime.datetime.strptime" in first[:5]
    assert any(name.startswith("email.utils.parsedate") for name in first)
    assert run("demo", "--dir", str(kept), "copy a directory tree", "--json").json["hits"]["hits"][0][
        "_id"
    ] == ("shutil.copytree")


def test_the_whole_library_is_in(run: Run, kept: Path) -> None:
    directory = run("demo", "--dir", str(kept), "--json").json["directory"]
    assert int(run("count", directory, "stdlib").out) > 10_000
    kinds = {"module", "class", "function", "method"}
    for kind in kinds:
        assert int(run("count", directory, "stdlib", f'{{"term": {{"kind": "{kind}"}}}}').out) > 100


def test_the_second_run_indexes_nothing_and_says_where_the_index_is(run: Run, small: Path) -> None:
    first = run("demo", "--dir", str(small), "parse dates")
    assert "indexed 4 definitions" in first.err
    second = run("demo", "--dir", str(small), "parse dates")
    assert second.err == ""
    assert str(small) in second.out
    assert second.out.splitlines()[1].split()[2] == "dates.parse_date"
    again = run("demo", "--dir", str(small), "--rebuild")
    assert "indexed 4 definitions" in again.err


def test_an_interrupted_first_run_leaves_nothing_that_looks_finished(
    run: Run, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(demo, "_index", interrupted)
        run("demo", "--dir", str(small), code=130)
    assert list(small.iterdir()) == []
    assert "dates.parse_date" in run("demo", "--dir", str(small)).out


def test_an_index_that_cannot_be_used_is_made_again(run: Run, small: Path) -> None:
    run("demo", "--dir", str(small))
    for path in (small / demo._key()).rglob("*.mdb"):
        if path.name == "data.mdb":
            path.write_bytes(path.read_bytes()[:100])
    assert "dates.parse_date" in run("demo", "--dir", str(small)).out


def test_a_query_of_nothing_but_stop_words_or_markup(run: Run, small: Path) -> None:
    run("demo", "--dir", str(small), "the of")
    run("demo", "--dir", str(small), " ")
    assert "[red]of" in run("demo", "--dir", str(small), "copy tree").out


@pytest.mark.parametrize(
    ("platform", "env", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/quidditch"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/quidditch"),
        ("linux", {}, "/home/me/.cache/quidditch"),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, "/home/me/Library/Caches/quidditch"),
    ],
)
def test_where_the_index_is_kept(
    monkeypatch: pytest.MonkeyPatch, platform: str, env: dict[str, str], expected: str
) -> None:
    monkeypatch.setattr(demo.sys, "platform", platform)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert str(demo.cache_directory()) == expected
