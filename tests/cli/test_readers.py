"""Documents out of files: every format, every compression, and inputs that are not what they should be."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from quidditch_cli import readers, streams
from quidditch_cli.failures import CommandError, NothingFound
from quidditch_cli.readers import Format, Record, read
from quidditch_cli.streams import BrokenInput, check_file, open_input


def records(path: Path, fmt: Format | None = None) -> list[Record]:
    with open_input(str(path)) as source:
        return list(read(source, fmt).records)


def write(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def documents(path: Path, fmt: Format | None = None) -> list[dict[str, Any] | None]:
    return [record.doc for record in records(path, fmt)]


def until_the_break(path: Path, fmt: Format | None = None) -> tuple[list[Record], str]:
    """The records before an input breaks, and the reason it gives."""
    seen: list[Record] = []
    with open_input(str(path)) as source:
        try:
            for record in read(source, fmt).records:
                seen.append(record)  # noqa: PERF402 - what came before the break counts
        except BrokenInput as error:
            return seen, str(error)
    return seen, ""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"a": 1}\n\n  \n{"a": 2}'),
        ("a.ndjson", '\ufeff{"a": 1}\r\n{"a": 2}\r\n'),
        ("a.json", '[{"a": 1},\n {"a": 2}]\n'),
        ("b.json", '{"a": 1}\n{"a": 2}\n'),
        ("c.json", '{\n "a": 1\n}\n{\n "a": 2\n}\n'),
        ("lines", '{"a": 1}\n{"a": 2}\n'),
        ("array", '  [{"a": 1}, {"a": 2}]'),
    ],
)
def test_json_in_all_its_forms(tmp_path: Path, name: str, content: str) -> None:
    assert documents(write(tmp_path, name, content)) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("name", ["a.csv", "a", "a.tsv"])
def test_delimited_files_take_field_names_from_the_header(tmp_path: Path, name: str) -> None:
    tab = "\t" if name == "a.tsv" else ","
    content = 'id,title,note\n1,Dune,\n2,"Say ""hi"",\nyou",x\n\n'.replace(",", tab)
    found = documents(write(tmp_path, name, content))
    assert found == [{"id": "1", "title": "Dune"}, {"id": "2", "title": f'Say "hi"{tab}\nyou', "note": "x"}]


def test_a_malformed_line_is_a_record_with_its_place_reason_and_text(tmp_path: Path) -> None:
    lines = [
        b'{"a": 1}',
        b'{"a": ',
        b"[1]",
        b"null",
        b'{"a": "\xff"}',
        b'{"a": NaN}',
        b'{"a": "\\ud800"}',
        b"x" * 9,
    ]
    found = records(write(tmp_path, "a.jsonl", b"\n".join(lines)))
    assert [record.line for record in found] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [record.raw for record in found] == lines
    assert [record.doc is not None for record in found] == [True] + [False] * 7
    reasons = [record.error or "" for record in found]
    assert "ends before" in reasons[1]
    assert "an array" in reasons[2]
    assert "null" in reasons[3]
    assert "0xff at position 7" in reasons[4]
    assert "surrogate" in reasons[6]


def test_a_pair_of_surrogates_is_a_character(tmp_path: Path) -> None:
    assert documents(write(tmp_path, "a.jsonl", '{"a": "\\ud83d\\ude00"}')) == [{"a": "😀"}]


def test_deep_nesting_is_a_reason_not_a_crash(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"a":' + "[" * 100_000 + "]" * 100_000 + '}\n{"a": 1}\n')
    first, second = records(path)
    assert first.error is not None
    assert second.doc == {"a": 1}


def test_an_element_that_is_malformed_inside_an_array_is_one_record(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", '[{"a": 1},\n{"a":,},\n{"b": "x]}\\""}, 3, "s,", }, [1], null]')
    found = records(path)
    assert [record.line for record in found] == [1, 2, 3, 3, 3, 3, 3, 3]
    assert [record.doc for record in found if record.doc] == [{"a": 1}, {"b": 'x]}"'}]


def test_an_array_without_end_breaks_after_its_last_whole_element(tmp_path: Path) -> None:
    path = write(tmp_path, "a.json", '[{"a": 1},\n{"a": 2},\n{"a": ')
    seen, reason = until_the_break(path)
    assert [record.doc for record in seen] == [{"a": 1}, {"a": 2}]
    assert "line 3 has no end" in reason
    with pytest.raises(BrokenInput, match="closing ]"):
        records(write(tmp_path, "b.json", '[{"a": 1},'))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    docs=st.lists(st.dictionaries(st.text(), json_values, max_size=4), max_size=6),
    indent=st.sampled_from([None, 0, 2]),
    ascii_only=st.booleans(),
    piece=st.integers(1, 64),
)
def test_arrays_are_cut_into_their_elements_wherever_the_pieces_end(
    docs: list[dict[str, Any]], indent: int | None, ascii_only: bool, piece: int
) -> None:
    text = json.dumps(docs, indent=indent, ensure_ascii=ascii_only).encode()
    scanner = readers._ValueScanner(io.BufferedReader(io.BytesIO(text)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "_PIECE_BYTES", piece)
        assert [json.loads(raw) for _, raw in scanner.values()] == docs


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=12)


@given(rows=st.lists(st.lists(cells, min_size=2, max_size=2), max_size=6), tabs=st.booleans())
def test_what_csv_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], tabs: bool
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t" if tabs else ",", lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerows([["a", "b"], *rows])
    path = write(tmp_path_factory.mktemp("csv"), "x", text.getvalue())
    expected = [{name: cell for name, cell in zip("ab", row, strict=True) if cell} for row in rows]
    assert documents(path, "tsv" if tabs else "csv") == expected


def test_malformed_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b'a,b\n1,2\n3\n4,5,6\n7,"x"y\n8,\xff\n9,"open\n10,11\n')
    found = records(path)
    assert found[0].doc == {"a": "1", "b": "2"}
    assert [record.line for record in found] == [2, 3, 4, 5, 6, 7]
    assert [record.error is None for record in found] == [True, False, False, False, False, False]
    assert found[-1].raw == b'9,"open\n10,11'


@pytest.mark.parametrize(
    ("header", "reason"), [("a,,b", "column 2 has no name"), ("a,b,a", "'a'"), ('"a', "malformed")]
)
def test_a_header_that_names_no_fields(tmp_path: Path, header: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        records(write(tmp_path, "a.csv", f"{header}\n1,2,3\n"))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json", "a", "a.tsv"])
def test_an_empty_input_holds_nothing(tmp_path: Path, name: str) -> None:
    assert records(write(tmp_path, name, b"")) == []


LINES = b"".join(b'{"n": %d}\n' % n for n in range(2000))
PACKED = {
    "gz": gzip.compress(LINES),
    "zst": zstandard.compress(LINES),
}


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("name", ["a.jsonl.{}", "a.{}", "a.jsonl", "a"])
def test_compression_is_told_by_the_first_bytes(tmp_path: Path, kind: str, name: str) -> None:
    path = write(tmp_path, name.format(kind), PACKED[kind])
    assert len(documents(path)) == 2000


@pytest.mark.parametrize("kind", PACKED)
def test_concatenated_members_are_one_stream(tmp_path: Path, kind: str) -> None:
    assert len(documents(write(tmp_path, f"a.jsonl.{kind}", PACKED[kind] * 2))) == 4000


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_truncated_file_gives_what_it_holds_and_then_breaks(tmp_path: Path, kind: str, name: str) -> None:
    path = write(tmp_path, f"{name}.{kind}", PACKED[kind] + PACKED[kind][:-6])
    fmt: Format = "jsonl" if name == "a.jsonl" else "json"
    seen, reason = until_the_break(path, fmt)
    assert re.search(r"cut off.*up to line", reason)
    # gzip gives what it has at once, Zstandard whole blocks.
    assert len(seen) >= 2000 + (kind == "gz")
    assert seen[1999].doc == {"n": 1999}


def test_a_name_that_promises_compression(tmp_path: Path) -> None:
    with pytest.raises(BrokenInput, match="not compressed"):
        records(write(tmp_path, "a.jsonl.gz", b'{"a": 1}\n'))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jsonl", b"\x89PNG\r\n\x1a\n\0\0", "binary"),
        ("a.csv", b"a\0b,c\n", "binary"),
        ("a.jsonl", '{"a": 1}'.encode("utf-16"), "UTF-16"),
        ("a", b"just words\n", "--format"),
        ("a", b"\x7fELF\0", "--format"),
    ],
)
def test_what_is_no_text_of_documents(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        records(write(tmp_path, name, content))


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    write(tmp_path, "books.jsonl", b"")
    with pytest.raises(NothingFound, match=r"did you mean .*books\.jsonl"):
        check_file(str(tmp_path / "boks.jsonl"))
    with pytest.raises(CommandError, match="is a directory"):
        check_file(str(tmp_path))
    with pytest.raises(NothingFound, match="no directory"):
        check_file(str(tmp_path / "nowhere" / "books.jsonl"))


def test_a_line_longer_than_a_record_is_left_out_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "LONGEST_RECORD_BYTES", 64)
    monkeypatch.setattr(readers, "_PIECE_BYTES", 16)
    path = write(tmp_path, "a.jsonl", b'{"a": "' + b"x" * 500 + b'"}\n{"a": 1}\n')
    long, short = records(path)
    assert "longer than" in (long.error or "")
    assert (short.line, short.doc) == (2, {"a": 1})


def test_parquet_without_its_library_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(CommandError, match="pip install pyarrow"):
        records(write(tmp_path, "a.parquet", b"PAR1xxxx"))


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"a": [1, None], "b": ["x", "y"]}), path)
    assert documents(path) == [{"a": 1, "b": "x"}, {"b": "y"}]


def test_progress_counts_the_bytes_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl.gz", PACKED["gz"])
    with open_input(str(path)) as source:
        list(read(source).records)
        assert source.read_bytes == path.stat().st_size
    assert streams.check_file(str(path)) == path.stat().st_size
