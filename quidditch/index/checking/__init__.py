"""Verifying what lies on disk: reports, and never repairs.

From the outside in, each step only where those before it were clean: the file as bytes (`check_file`, which needs no
engine and cannot be crashed), then the rows of the environment it holds (`check_catalog`, `check_rows`): checksums,
codecs, rows against each other, and the index against the sources it was made of.
"""

from quidditch.index.checking.directory import AtRest, check_directory
from quidditch.index.checking.entries import check_catalog
from quidditch.index.checking.findings import Finding, Progress
from quidditch.index.checking.pages import check_file
from quidditch.index.checking.shard import check_rows

__all__ = [
    "AtRest",
    "Finding",
    "Progress",
    "check_catalog",
    "check_directory",
    "check_file",
    "check_rows",
]
