"""The demo's corpus: what stands in a module, by the name it is imported as."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from quidditch_cli import stdlib_corpus
from quidditch_cli.stdlib_corpus import Corpus, NameSplitter

SOURCE = '''
"""A module of things."""
import sys
sys.exit("a source that is parsed and never run")
class Thing(dict):
    """One thing.

    It has more to it.
    """
    def parse_date(self, date_string, *, strict=False):
        """Parse a date."""
        def inner(): ...
    async def _hidden(self): ...
if sys.platform:
    def parse_date(text): "Again."
else:
    def parse_date(text): "Otherwise."
'''


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(stdlib_corpus.sysconfig, "get_path", lambda name: str(tmp_path))
    (tmp_path / "things.py").write_text(SOURCE)
    (tmp_path / "_impl.py").write_text("def work():\n    'Work hard.'\n")
    (tmp_path / "front.py").write_text("from _impl import work\n")
    (tmp_path / "broken.py").write_text("def (:\n")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "test_things.py").write_text("def test_it(): ...\n")
    return tmp_path


def corpus_of(library: Path) -> dict[str, dict[str, Any]]:
    corpus = Corpus()
    for path in stdlib_corpus.source_files():
        corpus.add(path)
    return {document["_id"]: document for document in corpus.documents()}


def test_definitions_with_kind_signature_and_documentation(library: Path) -> None:
    found = corpus_of(library)
    assert found["things"]["kind"] == "module"
    assert found["things.Thing"]["signature"] == "Thing(dict)"
    assert (found["things.Thing"]["summary"], found["things.Thing"]["doc"]) == (
        "One thing.",
        "It has more to it.",
    )
    method = found["things.Thing.parse_date"]
    assert method["kind"] == "method"
    assert method["signature"] == "parse_date(self, date_string, *, strict=False)"
    assert method["parameters"] == "date string strict"
    assert method["words"] == "things thing parse date"
    assert found["things.Thing._hidden"]["public"] is False
    assert found["things.parse_date"]["summary"] == "Again."
    assert found["things.parse_date#2"]["summary"] == "Otherwise."
    assert not any("inner" in name or "test" in name or "broken" in name for name in found)


def test_private_modules_go_by_the_name_they_are_imported_under(library: Path) -> None:
    found = corpus_of(library)
    assert found["front.work"]["public"] is True
    assert found["front.work"]["module"] == "_impl"
    assert "_impl.work" not in found


def test_names_that_run_together_are_split_by_the_words_of_the_documentation() -> None:
    usual = " ".join(["parse the date of make dirs"] * 50)
    splitter = NameSplitter([{"summary": usual, "doc": ""}])
    assert splitter.words("email.parsedate") == "email parsedate parse date"
    assert splitter.words("os.makedirs") == "os makedirs make dirs"
    assert splitter.words("HTTPServer2") == "http server 2"


def test_the_library_of_this_python_is_there() -> None:
    paths = stdlib_corpus.source_files()
    assert len(paths) > 100
    corpus = Corpus()
    for path in paths:
        if path.stem in ("json", "shutil", "_parseaddr", "utils"):
            corpus.add(path)
    names = {document["name"] for document in corpus.documents()}
    assert {"shutil.copytree", "email.utils.parsedate"} <= names
