"""What `stats(detail=True)` says of each structure, against the file."""

from __future__ import annotations

import json
from pathlib import Path

from quidditch_cli.main import app
from typer.testing import CliRunner

import quidditch

MAPPINGS = {"properties": {"body": {"type": "text"}, "tag": {"type": "keyword"}}}


def make(folder: Path) -> quidditch.IndexStats:
    with quidditch.connect(folder) as database:
        index = database.create_index("books", MAPPINGS)
        index.add_many(
            {"_id": str(n), "body": f"common word{n % 7} {n}", "tag": f"t{n % 3}"} for n in range(3000)
        )
        index.flush()
        index.force_merge(1)
        return index.stats(detail=True)


def test_structures_and_fields(tmp_path: Path) -> None:
    stats = make(tmp_path)
    assert {
        "ids",
        "stored",
        "doc_ids",
        "term_blocks",
        "postings",
        "positions",
        "columns",
    } <= stats.detail.keys()
    for name, size in stats.detail.items():
        assert size.rows > 0
        assert size.size_bytes == stats.structures[name]
        assert 0 < size.payload_bytes <= size.size_bytes
        assert size.unused_bytes == size.size_bytes - size.payload_bytes
    assert stats.detail["ids"].rows == 3000
    assert stats.detail["positions"].fields.keys() == {"body"}
    blocks = stats.detail["term_blocks"]
    assert blocks.fields.keys() == {"body", "tag"}
    assert sum(blocks.fields.values()) == blocks.payload_bytes
    assert blocks.fields["body"] > blocks.fields["tag"]
    assert blocks.overflow_bytes == 0
    assert stats.detail["doc_ids"].overflow_bytes > 0
    assert stats.detail["stored"].fields == {}
    assert stats.to_dict()["detail"]["stored"]["rows"] == stats.detail["stored"].rows


def test_nothing_of_it_unless_asked(tmp_path: Path) -> None:
    make(tmp_path)
    with quidditch.connect(tmp_path) as database:
        assert database["books"].stats().detail == {}
        assert "detail" not in database["books"].stats().to_dict()


def test_the_command_shows_it(tmp_path: Path) -> None:
    expected = make(tmp_path).to_dict()["detail"]
    found = CliRunner().invoke(app, ["stats", str(tmp_path), "books", "--detail", "--json"])
    assert json.loads(found.stdout)["detail"] == expected
    table = CliRunner().invoke(app, ["stats", str(tmp_path), "books", "--detail"]).stdout
    assert "structure" in table
    assert "term_blocks" in table
    assert "structure" not in CliRunner().invoke(app, ["stats", str(tmp_path), "books"]).stdout
