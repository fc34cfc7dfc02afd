"""docs/architecture.md names files and folders; they are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"


def test_every_path_named_is_there() -> None:
    named = set(re.findall(r"`([\w./*-]+(?:/|\.py|\.md))`", PAGE.read_text(encoding="utf-8")))
    assert len(named) > 30
    for name in named:
        found = (
            [*(ROOT / "quidditch").glob(name)] if "*" in name else [ROOT / "quidditch" / name, ROOT / name]
        )
        assert any(path.exists() for path in found), name


def test_every_room_is_in_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rooms = {path.name for path in (ROOT / "quidditch").iterdir() if (path / "__init__.py").is_file()}
    for room in rooms:
        assert f"| `{room}/`" in text, room
