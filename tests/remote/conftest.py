"""What the tests of the client share."""

from __future__ import annotations

from .answering import naps

__all__ = ["naps"]
