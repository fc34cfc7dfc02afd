"""Tables of `_cat`: text in columns, or objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from quidditch.patterns import matches
from quidditch.server.call import Call, Reply
from quidditch.server.failures import RestError

PARAMETERS = "v h s help bytes time local master_timeout cluster_manager_timeout"
_SIZES = {"b": 1, "k": 1 << 10, "kb": 1 << 10, "m": 1 << 20, "mb": 1 << 20, "g": 1 << 30, "gb": 1 << 30}
_UNITS = (("tb", 1 << 40), ("gb", 1 << 30), ("mb", 1 << 20), ("kb", 1 << 10))


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its name, further names, what it says, and whether it is shown unasked.

    right:  numbers stand to the right
    """

    name: str
    aliases: tuple[str, ...] = ()
    words: str = ""
    shown: bool = True
    right: bool = False


@dataclass(slots=True)
class Bytes:
    """A size, shown in the unit that was asked for; None where it is not known."""

    size_bytes: int | None


@dataclass(slots=True)
class Table:
    columns: Sequence[Column]
    rows: list[list[Any]] = field(default_factory=list)

    def reply(self, call: Call) -> Reply:
        """The table as the request wants it: text, or a list of objects."""
        if call.parameters.flag("help"):
            return Reply(self._help())
        unit = call.parameters.text("bytes")
        if unit and unit not in _SIZES:
            raise RestError(f"bytes: one of [{', '.join(_SIZES)}] expected, not [{unit}]")
        places = self._chosen(call.parameters.names("h"))
        rows = self._sorted(call.parameters.names("s") or [])
        as_objects = "json" in _form(call) or "yaml" in _form(call)
        if as_objects:
            named = [(label, place) for label, place in places]
            return Reply([{label: _json(row[place], unit) for label, place in named} for row in rows])
        lines = [[_text(row[place], unit) for _, place in places] for row in rows]
        header = [[label for label, _ in places]] if call.parameters.flag("v") else []
        return Reply(self._text(header + lines, [self.columns[place] for _, place in places]))

    def _chosen(self, wanted: list[str] | None) -> list[tuple[str, int]]:
        """(label, place) of the columns to show; a name that no column has is left out."""
        if wanted is None:
            return [(column.name, place) for place, column in enumerate(self.columns) if column.shown]
        found: list[tuple[str, int]] = []
        for name in wanted:
            if "*" in name:
                found += [(c.name, place) for place, c in enumerate(self.columns) if matches(c.name, name)]
            elif (place := self._place(name)) is not None:
                found.append((name, place))
        return found

    def _place(self, name: str) -> int | None:
        for place, column in enumerate(self.columns):
            if name == column.name or name in column.aliases:
                return place
        return None

    def _sorted(self, levels: list[str]) -> list[list[Any]]:
        rows = list(self.rows)
        for level in reversed(levels):
            name, _, order = level.partition(":")
            place = self._place(name)
            if place is None:
                raise RestError(
                    f"Unable to sort by unknown sort key `{name}`", 400, "unsupported_operation_exception"
                )
            rows.sort(key=lambda row: _order(row[place]), reverse=order == "desc")
        return rows

    def _help(self) -> str:
        rows = [[column.name, ",".join(column.aliases) or "-", column.words] for column in self.columns]
        widths = [max((len(row[place]) for row in rows), default=0) for place in range(3)]
        return "".join(
            " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " \n"
            for row in rows
        )

    @staticmethod
    def _text(lines: list[list[str]], columns: list[Column]) -> str:
        widths = [max(len(line[place]) for line in lines) for place in range(len(columns))] if lines else []
        shown = []
        for line in lines:
            cells = [
                cell.rjust(width) if column.right else cell.ljust(width)
                for cell, width, column in zip(line, widths, columns, strict=True)
            ]
            shown.append(" ".join(cells) + "\n")
        return "".join(shown)


def _form(call: Call) -> str:
    return call.parameters.text("format") or call.accept


def _order(value: Any) -> tuple[bool, Any]:
    raw = value.size_bytes if isinstance(value, Bytes) else value
    return (raw is not None, str(raw) if isinstance(raw, bool) else raw if raw is not None else 0)


def _text(value: Any, unit: str) -> str:
    if value is None:
        return ""
    if isinstance(value, Bytes):
        return "" if value.size_bytes is None else size_text(value.size_bytes, unit)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _json(value: Any, unit: str) -> str | None:
    """Every cell is a string, as OpenSearch has it; None for what is not known."""
    shown = _text(value, unit)
    return shown if shown or isinstance(value, str) else None


def size_text(size_bytes: int, unit: str = "") -> str:
    """A size with the unit that suits it, or as a number of the unit given.

    >>> size_text(2048), size_text(1500), size_text(1500, "b"), size_text(5 << 20, "kb")
    ('2kb', '1.4kb', '1500', '5120')
    """
    if unit:
        return str(size_bytes // _SIZES[unit])
    for name, size in _UNITS:
        if size_bytes >= size:
            number = int(size_bytes / size * 10) / 10
            return f"{number:g}{name}"
    return f"{size_bytes}b"
