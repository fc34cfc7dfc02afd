"""What the commands print: tables for people, JSON for programs, and no control characters of documents."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from typing import IO, Any

import msgspec
from rich import box
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

MARK_OPEN, MARK_CLOSE = "\ue0f0", "\ue0f1"
"""Tags around highlighted words: private characters, so they never look like the document's own text."""

MARKED = Style(bold=True, color="yellow")
QUIET = Style(dim=True)

# Controls that could drive a terminal or reorder what is read: C0, DEL, C1, directional overrides and
# isolates, interlinear marks, tags; and lone surrogates, which cannot be encoded.
_HARMFUL = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SPACES = re.compile(r"[\t-\r \u0085\u00a0\u2028\u2029]+")
_UNESCAPED = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")

_PIPE_WIDTH = 100_000


def harmless(text: str) -> str:
    """Text on one line with every control character replaced, safe to print."""
    return _HARMFUL.sub("\ufffd", _SPACES.sub(" ", text)).strip()


def plain(text: str, style: str | Style = "") -> Text:
    """Text of a document as Rich prints it: harmless, and never read as markup."""
    return Text(harmless(text).replace(MARK_OPEN, "").replace(MARK_CLOSE, ""), style=style)


def marked(text: str, style: str | Style = "") -> Text:
    """Like `plain`, with what stands between the highlighting tags set off."""
    line = Text(style=style)
    for number, piece in enumerate(re.split(f"[{MARK_OPEN}{MARK_CLOSE}]", _SPACES.sub(" ", text).strip())):
        line.append(_HARMFUL.sub("\ufffd", piece), MARKED if number % 2 else "")
    return line


def shorten(text: str, most: int) -> str:
    """Text cut behind a word so that it is at most about `most` characters."""
    line = _SPACES.sub(" ", text[: most * 8]).strip()
    if len(line) <= most:
        return line
    cut = line.rfind(" ", most // 2, most)
    return line[: cut if cut > 0 else most].rstrip() + "…"


def value_text(value: Any) -> str:
    """A value of a document as one cell shows it."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and not any(isinstance(item, (list, dict)) for item in value):
        return ", ".join(value_text(item) for item in value)
    return to_json(value)


def value_at(source: dict[str, Any], path: str) -> Any:
    """What a document holds at a dotted path; None when it holds nothing there."""
    if path in source:
        return source[path]
    head, _, rest = path.partition(".")
    inner = source.get(head)
    if rest and isinstance(inner, list):
        found = [value_at(item, rest) for item in inner if isinstance(item, dict)]
        return [value for value in found if value is not None] or None
    return value_at(inner, rest) if rest and isinstance(inner, dict) else None


# ------------------------------------------------------------------------------------------------ output


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leaves the answer to the command line, which has one exit code for it."""
        raise BrokenPipeError


def console(file: IO[str] | None = None) -> Console:
    """Where tables go: a terminal as it is, or else plain lines that are not cut."""
    file = file or sys.stdout
    made = _Console(file=file, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made = _Console(file=file, highlight=False, markup=False, emoji=False, width=_PIPE_WIDTH)
    return made


def to_json(value: Any) -> str:
    """A value as compact JSON in which nothing can drive a terminal."""
    text = msgspec.json.encode(value).decode()
    return _UNESCAPED.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    # Outside strings JSON holds none of these, and inside them an escape means the same character.
    units = found.group().encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def print_json(value: Any) -> None:
    """One JSON value: on one line for programs, indented for a terminal."""
    text = to_json(value)
    if sys.stdout.isatty():
        text = msgspec.json.format(text, indent=2)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_error(message: str) -> None:
    """One sentence on standard error, red on a terminal."""
    console(sys.stderr).print(
        Text.assemble(("quidditch: ", "bold red"), plain(message, "red")), soft_wrap=True
    )


def print_note(message: str) -> None:
    """One remark on standard error, beside the result."""
    console(sys.stderr).print(plain(message, QUIET), soft_wrap=True)


def print_line(line: str | Text, style: str | Style = "") -> None:
    """One line of a result."""
    console().print(line if isinstance(line, Text) else plain(line, style), soft_wrap=True)


def print_table(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str | Text]]) -> None:
    """A table. `columns`: heading and kind, of "text", "number", "name" (kept on one line)."""
    to = console()
    table = Table(
        box=box.SIMPLE_HEAD if to.is_terminal else None, pad_edge=to.is_terminal, header_style="bold"
    )
    for heading, kind in columns:
        table.add_column(
            plain(heading),
            justify="right" if kind == "number" else "left",
            no_wrap=kind == "number" or not to.is_terminal,
            overflow="fold",
            style="cyan" if kind == "name" else "",
        )
    for row in rows:
        table.add_row(*(plain(cell) if isinstance(cell, str) else cell for cell in row))
    if to.is_terminal:
        to.print(table)
        return
    with to.capture() as captured:
        to.print(table)
    # Padding behind the last column is of no use in a pipe.
    to.file.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))
    to.file.flush()


def size_text(size_bytes: int) -> str:
    """A size as people read it."""
    size, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:,.0f} {unit}" if unit == "B" or size >= 100 else f"{size:,.1f} {unit}"


def counted(number: int, noun: str) -> str:
    """A number and its noun: "1 document", "1,234 documents"."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    plural = "indices" if noun == "index" else plural
    return f"{number:,} {noun if number == 1 else plural}"
