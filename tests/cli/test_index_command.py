"""`quidditch index`: what goes in, what is rejected and kept, and what stops a command before it starts."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import command_line
import pytest
from command_line import BOOKS, Run
from quidditch_cli import ingest

run = command_line.run


def test_documents_go_in_and_are_counted(run: Run) -> None:
    Path("a.jsonl").write_text("".join(json.dumps(book) + "\n" for book in BOOKS))
    done = run("index", "shelf", "books", "a.jsonl")
    assert done.out.startswith("3 documents in books; ")
    assert "documents/s" in done.out
    assert done.err == ""
    assert run("count", "shelf", "books").out == "3\n"
    assert not list(Path().glob("*.rejects*"))


def test_several_files_of_several_kinds_and_standard_input(run: Run) -> None:
    Path("a.json").write_text(json.dumps(BOOKS[:1]))
    Path("b.csv.gz").write_bytes(gzip.compress(b"_id,title\nemma,Emma\n"))
    done = run(
        "index", "shelf", "books", "a.json", "b.csv.gz", "-", "--json", input=json.dumps(BOOKS[2]) + "\n"
    )
    assert done.json["documents"] == 3
    assert done.json["rejected"] == 0
    assert run("get", "shelf", "books", "solaris", "--json").json["_source"]["year"] == 1961
    assert run("get", "shelf", "books", "emma", "--json").json["_source"] == {"title": "Emma"}


def test_workers_make_the_same_index(run: Run) -> None:
    Path("a.jsonl").write_text(
        "".join(json.dumps({"_id": str(n), "title": f"book {n}"}) + "\n" for n in range(3_000))
    )
    for name, workers in (("alone", "1"), ("shared", "2")):
        assert (
            run("index", "shelf", name, "a.jsonl", "--workers", workers, "--json").json["documents"] == 3_000
        )
    hits = [run("search", "shelf", name, "book 2999", "--json").json["hits"] for name in ("alone", "shared")]
    assert [hit["_id"] for hit in hits[0]["hits"]] == [hit["_id"] for hit in hits[1]["hits"]]
    run("index", "shelf", "alone", "a.jsonl", "--workers", "0", code=2)


def test_malformed_lines_are_shown_and_kept_and_the_rest_goes_in(run: Run) -> None:
    bad = [b'{"title": ', b"[1]", b'{"title": "\xff"}']
    Path("a.jsonl").write_bytes(b"\n".join([b'{"_id": "1", "title": "x"}', *bad, b'{"_id": "2"}']) + b"\n")
    done = run("index", "shelf", "books", "a.jsonl", code=3)
    for line in (2, 3, 4):
        assert f"a.jsonl:{line}: " in done.err
    assert "2 documents in books, 3 rejected (kept in books.rejects.jsonl)" in done.out
    assert Path("books.rejects.jsonl").read_bytes() == b"\n".join(bad) + b"\n"


def test_what_the_engine_refuses_is_kept_with_its_line(run: Run) -> None:
    mappings = '{"properties": {"year": {"type": "long"}}}'
    lines = [
        '{"_id": "1", "year": 1}',
        '{"_id": "2", "year": "soon"}',
        "{}",
        '{"_id": "4", "year": {"a": 1}}',
    ]
    Path("a.jsonl").write_text("\n".join(lines))
    done = run("index", "shelf", "books", "a.jsonl", "--mappings", mappings, "--json", code=3)
    assert done.json["documents"] == 2
    assert [(error["file"], error["line"]) for error in done.json["errors"]] == [
        ("a.jsonl", 2),
        ("a.jsonl", 4),
    ]
    assert "year" in done.json["errors"][0]["reason"]
    assert "soon" in done.json["errors"][0]["reason"]
    assert done.json["rejects_file"] == "books.rejects.jsonl"
    assert Path("books.rejects.jsonl").read_text().splitlines() == [lines[1], lines[3]]


def test_positions_of_refusals_hold_over_many_batches(run: Run) -> None:
    lines = [json.dumps({"year": "bad" if n % 7 == 3 else n}) for n in range(100)]
    Path("a.jsonl").write_text("\n".join(lines))
    mappings = '{"properties": {"year": {"type": "long"}}}'
    run(
        "index", "shelf", "n", "a.jsonl", "--mappings", mappings, "--chunk", "9", "--show-errors", "2", code=3
    )
    kept = Path("n.rejects.jsonl").read_text().splitlines()
    assert kept == [line for line in lines if "bad" in line]
    assert run("count", "shelf", "n").out == f"{100 - len(kept)}\n"


def test_batches_end_by_size_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "BATCH_BYTES", 50)
    Path("a.jsonl").write_text("".join(json.dumps({"n": n}) + "\n" for n in range(40)))
    run("index", "shelf", "n", "a.jsonl")
    assert run("count", "shelf", "n").out == "40\n"


def test_only_the_first_rejections_are_shown_and_the_rest_counted(run: Run) -> None:
    Path("a.jsonl").write_text("x\n" * 50)
    done = run("index", "shelf", "books", "a.jsonl", "--show-errors", "3", code=1)
    assert done.err.count("a.jsonl:") == 3
    assert "47 rejections more" in done.err
    assert len(Path("books.rejects.jsonl").read_text().splitlines()) == 50


def test_rejected_rows_are_kept_under_their_header_and_can_be_indexed_again(run: Run) -> None:
    Path("a.csv").write_text("_id,title\n1,Dune\n2\n3,Emma,more\n")
    run("index", "shelf", "books", "a.csv", code=3)
    kept = Path("books.rejects.csv")
    assert kept.read_text() == "_id,title\n2\n3,Emma,more\n"
    kept.write_text("_id,title\n2,Solaris\n3,Emma\n")
    run("index", "shelf", "books", str(kept))
    assert run("count", "shelf", "books").out == "3\n"


def test_a_rejects_file_is_never_written_over_nor_over_an_input(run: Run) -> None:
    Path("books.rejects.jsonl").write_text("bad\n")
    run("index", "shelf", "books", "books.rejects.jsonl", code=1)
    assert Path("books.rejects.jsonl").read_text() == "bad\n"
    assert Path("books.rejects-2.jsonl").read_text() == "bad\n"
    again = run(
        "index", "shelf", "books", "books.rejects.jsonl", "--rejects", "./books.rejects.jsonl", code=1
    )
    assert "one of the files to index" in again.err
    assert Path("books.rejects.jsonl").read_text() == "bad\n"


def test_an_id_field_of_ones_own(run: Run) -> None:
    Path("a.jsonl").write_text('{"isbn": "x1", "title": "Dune"}\n')
    run("index", "shelf", "books", "a.jsonl", "--id-field", "isbn")
    assert run("get", "shelf", "books", "x1", "--json").json["_source"]["title"] == "Dune"


def test_mappings_from_a_file_a_body_and_for_an_index_that_is_there(run: Run) -> None:
    Path("a.jsonl").write_text('{"year": "1965"}\n')
    Path("m.json").write_text('{"mappings": {"properties": {"year": {"type": "integer"}}}}')
    run("index", "shelf", "books", "a.jsonl", "--mappings", "m.json")
    run("index", "shelf", "books", "a.jsonl", "--mappings", '{"properties": {"tag": {"type": "keyword"}}}')
    changed = run(
        "index",
        "shelf",
        "books",
        "a.jsonl",
        "--mappings",
        '{"properties": {"year": {"type": "text"}}}',
        code=1,
    )
    assert "year" in changed.err
    assert run("count", "shelf", "books", '{"range": {"year": {"gte": 1900}}}').out == "2\n"


def test_an_input_that_breaks_off_leaves_what_it_held(run: Run) -> None:
    packed = gzip.compress("".join(f'{{"n": {n}}}\n' for n in range(20_000)).encode())
    Path("a.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    Path("b.jsonl").write_text('{"_id": "last"}\n')
    done = run("index", "shelf", "n", "a.jsonl.gz", "b.jsonl", code=3)
    assert "cut off" in done.err
    assert "1 input broken off" in done.out
    assert run("get", "shelf", "n", "last").code == 0


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["nowhere.jsonl"], "there is no file nowhere.jsonl"),
        (["boks.jsonl"], "did you mean books.jsonl?"),
        (["folder"], "is a directory"),
        (["junk"], "--format"),
        (["junk.jsonl"], "binary"),
        (["books.jsonl", "--mappings", "{"], "--mappings"),
        (["books.jsonl", "--mappings", "nowhere.json"], "neither JSON"),
        (["books.jsonl", "--mappings", "[1]"], "must be a JSON object"),
        (["books.jsonl", "--mappings", '{"properties": {"a": {"type": "txet"}}}'], "txet"),
        (["books.jsonl", "--mappings", '{"properties": {"a": {"type": "text", "analyzer": "x"}}}'], "[x]"),
    ],
)
def test_what_stops_before_anything_is_made(run: Run, words: list[str], reason: str) -> None:
    Path("books.jsonl").write_text('{"a": 1}\n')
    Path("folder").mkdir()
    Path("junk").write_bytes(bytes(range(128, 192)) + b"\0")
    Path("junk.jsonl").write_bytes(b"\x89PNG\0\0")
    done = run("index", "shelf", "books", *words, code=1)
    assert reason in done.err
    assert len(done.err.splitlines()) == 1
    assert "no index" in run("indices", "shelf").out if Path("shelf").exists() else True


def test_a_format_that_does_not_exist_and_a_name_that_is_not_allowed(run: Run) -> None:
    Path("a.jsonl").write_text("{}\n")
    run("index", "shelf", "books", "a.jsonl", "--format", "xml", code=2)
    run("index", "shelf", "../up", "a.jsonl", code=1)
    run("index", "shelf", "books", code=2)


def test_an_empty_input_makes_an_empty_index(run: Run) -> None:
    done = run("index", "shelf", "books", "-", input="")
    assert done.out.startswith("0 documents in books")
    assert run("count", "shelf", "books").out == "0\n"


def test_a_file_where_the_directory_should_be(run: Run) -> None:
    Path("shelf").write_text("not a directory")
    Path("a.jsonl").write_text("{}\n")
    done = run("index", "shelf", "books", "a.jsonl", code=4)
    assert "shelf" in done.err
    assert Path("shelf").read_text() == "not a directory"


def test_a_header_with_semicolons_is_remarked_on_once(run: Run) -> None:
    Path("a.csv").write_text("title;year\nDune;1965\n")
    done = run("index", "shelf", "books", "a.csv")
    assert done.err.count("a.csv: the header has semicolons and no comma") == 1
    Path("b.csv").write_text("title,note;remark\nDune,x\n")
    assert run("index", "shelf", "books", "b.csv").err == ""
