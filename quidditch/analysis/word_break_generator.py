"""Writes `word_break_table.py`: run it again when `regex` follows a newer Unicode.

    python -m quidditch.analysis.word_break_generator

The table holds one byte per code point: a class of `word_break` in the low four bits, LETTER_FLAG and
SPACE_FLAG above them. It is kept as runs, because asking `regex` for every code point takes about a second.
"""

from __future__ import annotations

import base64
import sys
import textwrap
import zlib
from itertools import groupby
from pathlib import Path

import numpy as np
import regex  # type: ignore[import-untyped]

from quidditch.analysis import word_break as wb
from quidditch.types import U8s

# Later entries win: scripts written without spaces are taken out of the classes UAX #29 puts them in.
PROPERTIES: tuple[tuple[str, int], ...] = (
    (r"\p{Extended_Pictographic}", wb.PICTOGRAPH),
    (r"[\p{Emoji_Presentation}&&\p{Extended_Pictographic}]", wb.EMOJI),
    (r"\p{WB=ALetter}", wb.LETTER),
    (r"\p{WB=Hebrew_Letter}", wb.HEBREW),
    (r"\p{WB=Numeric}", wb.DIGIT),
    (r"\p{WB=ExtendNumLet}", wb.UNDERSCORE),
    (r"\p{WB=MidLetter}", wb.MID_LETTER),
    (r"\p{WB=MidNum}", wb.MID_DIGIT),
    (r"\p{WB=MidNumLet}", wb.MID_BOTH),
    (r"\p{WB=Single_Quote}", wb.QUOTE),
    (r"\p{WB=Double_Quote}", wb.DOUBLE_QUOTE),
    (r"\p{WB=Regional_Indicator}", wb.REGIONAL),
    (r"[\p{LB=SA}&&[\p{L}\p{M}]]", wb.COMPLEX),
    (r"[\p{WB=Katakana}&&[\p{L}\p{N}]]", wb.IDEOGRAPH),
    (r"[\p{Script=Hiragana}&&\p{L}]", wb.IDEOGRAPH),
    (r"[\p{Script=Han}&&[\p{L}\p{N}]]", wb.IDEOGRAPH),
    # Conjoining jamo stay letters: a syllable made of them must not fall apart.
    (r"[\uAC00-\uD7A3\u3131-\u318E\uFFA0-\uFFDC&&\p{Script=Hangul}]", wb.IDEOGRAPH),
    (r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]", wb.IGNORED),
)
# NUL separates too: it is padding or damage, never part of a word.
FLAGS: tuple[tuple[str, int], ...] = (
    (r"\p{L}", wb.LETTER_FLAG),
    (r"[\p{White_Space}\x00\x1C-\x1F]", wb.SPACE_FLAG),
)


def build_table() -> U8s:
    """uint8[0x110000] from the properties of the installed `regex`; takes about a second."""
    # Surrogates have none of the properties asked for, so a space can stand in for them.
    everything = "".join(chr(c) if not 0xD800 <= c < 0xE000 else " " for c in range(0x110000))
    table = np.zeros(len(everything), np.uint8)
    for pattern, value in PROPERTIES:
        table[_matches(pattern, everything)] = value
    for pattern, flag in FLAGS:
        table[_matches(pattern, everything)] |= flag
    table[0xD800:0xE000] = 0
    return table


def count_assigned() -> int:
    """How many code points the installed `regex` takes as assigned: tells Unicode versions apart."""
    return sum(1 for c in range(0x110000) if not 0xD800 <= c < 0xE000 and _UNASSIGNED.match(chr(c)) is None)


_UNASSIGNED = regex.compile(r"\p{Cn}")


def _matches(pattern: str, text: str) -> list[int]:
    return [match.start() for match in regex.finditer(pattern, text, flags=regex.V1)]


def render(table: U8s, assigned: int) -> str:
    """The text of `word_break_table.py`."""
    runs = [(value, len(list(group))) for value, group in groupby(table.tolist())]
    lengths = np.array([length for _, length in runs], "<u4").tobytes()
    packed = zlib.compress(lengths + bytes(value for value, _ in runs), 9)
    lines = textwrap.wrap(base64.b64encode(packed).decode(), 104)
    body = "\n".join(f'    "{line}"' for line in lines)
    return (
        '"""Word-break classes of every code point, in runs; `word_break_generator` writes this file."""\n\n'
        "from __future__ import annotations\n\n"
        f"ASSIGNED = {assigned}\n"
        '"""Assigned code points of the Unicode version this was made from."""\n\n'
        f"RUNS = (\n{body}\n)\n"
        '"""Base64 of zlib of: run lengths as little-endian uint32, then their values as uint8."""\n'
    )


if __name__ == "__main__":
    target = Path(__file__).with_name("word_break_table.py")
    target.write_text(render(build_table(), count_assigned()), encoding="utf-8")
    sys.stdout.write(f"wrote {target}\n")
