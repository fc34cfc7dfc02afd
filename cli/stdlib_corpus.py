"""The definitions of the installed Python's standard library as documents: text that every machine has.

Sources are parsed, never imported. A document holds `name` (dotted, as one would import it), `kind`,
`module`, `signature`, `parameters`, `summary` and `doc` (the documentation's first paragraph, and the rest),
`public`, and `words`: the name as the words it is made of, so that `parsedate_to_datetime` is found by "parse
date".
"""

from __future__ import annotations

import ast
import math
import re
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

CORPUS_VERSION = 1
"""Changed with what the documents or their mapping hold, so that an index kept from before is not taken."""

MAPPINGS: dict[str, Any] = {
    "dynamic": "strict",
    "properties": {
        "name": {"type": "text", "analyzer": "simple", "fields": {"keyword": {"type": "keyword"}}},
        "words": {"type": "text", "analyzer": "english"},
        "summary": {"type": "text", "analyzer": "english"},
        "doc": {"type": "text", "analyzer": "english"},
        "parameters": {"type": "text", "analyzer": "english"},
        "signature": {"type": "keyword", "index": False, "doc_values": False},
        "kind": {"type": "keyword"},
        "module": {"type": "keyword"},
        "public": {"type": "boolean"},
    },
}

_LEFT_OUT = frozenset(
    ("test", "tests", "idlelib", "idle_test", "site-packages", "dist-packages", "__pycache__", "turtledemo")
)
_LEFT_OUT |= {"_bundled", "lib-dynload", "pydoc_data", "lib2to3", "_pyrepl"}
# Python twins of modules that are otherwise written in C are known by the public name.
_PUBLIC_NAMES = {"_pydatetime": "datetime", "_pydecimal": "decimal", "_pyio": "io"}

Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def source_files() -> list[Path]:
    """The library's modules in a fixed order, without tests and vendored code; none where it is zipped."""
    root = Path(sysconfig.get_path("stdlib"))
    found = (path for path in root.rglob("*.py") if not _LEFT_OUT & set(path.relative_to(root).parts))
    return sorted(path for path in found if not _is_codec_table(path))


def _is_codec_table(path: Path) -> bool:
    # A hundred modules with the same six definitions each.
    return path.parent.name == "encodings" and path.name[:2] in (
        "cp",
        "is",
        "ko",
        "ma",
        "gb",
        "ja",
        "eu",
        "hz",
    )


class Corpus:
    """The documents of the modules added so far, and under which public names private modules are known."""

    def __init__(self) -> None:
        self._documents: list[dict[str, Any]] = []
        self._public_names: dict[str, str] = {}

    def add(self, path: Path) -> None:
        """Takes the definitions of one module; nothing when it cannot be read or parsed."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError):
            return
        module = _module_name(path)
        self._documents.append(_document(module, "module", module, "", ast.get_docstring(tree)))
        self._documents.extend(_inside(tree.body, module, module, in_class=False))
        if not _is_private(module):
            self._public_names.update(_published(tree, module))

    def __len__(self) -> int:
        return len(self._documents)

    def documents(self) -> Iterator[dict[str, Any]]:
        """All documents, with `words`, `public` and an `_id`: the name, numbered where it comes again."""
        splitter = NameSplitter(self._documents)
        seen: Counter[str] = Counter()
        for document in self._documents:
            name = self._public_name(document["name"])
            seen[name] += 1
            yield {
                **document,
                "_id": name if seen[name] == 1 else f"{name}#{seen[name]}",
                "name": name,
                "words": splitter.words(name),
                "public": not _is_private(name),
            }

    def _public_name(self, name: str) -> str:
        """What a definition in a private module is imported as: `email.utils.parsedate`, say."""
        head, tail = name, ""
        while head and _is_private(name):
            if head in self._public_names:
                return self._public_names[head] + tail
            head, dot, last = head.rpartition(".")
            tail = dot + last + tail
        return name


def _is_private(name: str) -> bool:
    parts = name.split(".")
    return any(part.startswith("_") and not part.endswith("__") for part in parts)


def _published(tree: ast.Module, module: str) -> Iterator[tuple[str, str]]:
    """What a public module imports by name out of a private one, as (private name, public name)."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and _is_private(node.module):
            package = module.rpartition(".")[0] + "." if node.level else ""
            for imported in node.names:
                yield (
                    f"{package}{node.module}.{imported.name}",
                    f"{module}.{imported.asname or imported.name}",
                )


def _module_name(path: Path) -> str:
    parts = list(path.relative_to(sysconfig.get_path("stdlib")).with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    name = ".".join(parts)
    return _PUBLIC_NAMES.get(name, name)


def _inside(body: Iterable[ast.stmt], owner: str, module: str, *, in_class: bool) -> Iterator[dict[str, Any]]:
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            kind = "method" if in_class else "function"
            name, parameters = f"{owner}.{node.name}", ast.unparse(node.args)
            yield _document(module, kind, name, parameters, ast.get_docstring(node), _arguments(node))
        elif isinstance(node, ast.ClassDef):
            name = f"{owner}.{node.name}"
            bases = ", ".join(ast.unparse(base) for base in node.bases)
            yield _document(module, "class", name, bases, ast.get_docstring(node))
            yield from _inside(node.body, name, module, in_class=True)
        elif isinstance(node, (ast.If, ast.Try)):
            yield from _inside([*node.body, *node.orelse], owner, module, in_class=in_class)


def _arguments(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return [argument.arg for argument in given if argument.arg not in ("self", "cls")]


def _document(
    module: str, kind: str, name: str, parameters: str, doc: str | None, arguments: Iterable[str] = ()
) -> dict[str, Any]:
    summary, rest = _split_summary(doc or "")
    signature = f"{name.rpartition('.')[2]}({parameters})" if kind in ("function", "method") else ""
    if kind == "class" and parameters:
        signature = f"{name.rpartition('.')[2]}({parameters})"
    return {
        "name": name,
        "kind": kind,
        "module": module,
        "signature": signature[:1000],
        "summary": summary,
        "doc": rest,
        "parameters": " ".join(word for argument in arguments for word in _pieces(argument)),
    }


def _split_summary(doc: str) -> tuple[str, str]:
    first, _, rest = doc.strip().partition("\n\n")
    return " ".join(first.split()), rest.strip()


# ------------------------------------------------------------------------------------- names into words

_PIECES = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_WORDS = re.compile(r"[a-z]{2,}")
_LONGEST_PART = 16
_SHORT_WORDS = frozenset(
    ["is", "to", "of", "in", "by", "at", "on", "or", "as", "up", "no", "do", "add", "all"]
)


def _pieces(name: str) -> list[str]:
    """The parts of an identifier by underscores, capitals and digits, in lower case."""
    return [piece.lower() for piece in _PIECES.findall(name)]


class NameSplitter:
    """Splits names into words, run-together ones too, by the words that the documentation uses.

    `makedirs` has no underscore: the split is the one whose parts are the most usual words (each costs
    minus the logarithm of its share), and a name that is itself a usual word stays whole.
    """

    def __init__(self, documents: Iterable[dict[str, Any]]) -> None:
        counts: Counter[str] = Counter()
        for document in documents:
            counts.update(_WORDS.findall(f"{document['summary']} {document['doc']}".lower()))
        total = sum(counts.values()) or 1
        self._cost = {
            word: -math.log(count / total)
            for word, count in counts.items()
            if count >= 5 and (len(word) >= 4 or word in _SHORT_WORDS or (len(word) == 3 and count >= 40))
        }
        self.split = cache(self._split)

    def words(self, name: str) -> str:
        """A dotted name's pieces, each followed by the words it runs together, none twice."""
        found: list[str] = []
        for piece in _pieces(name):
            found += [piece, *self.split(piece)]
        return " ".join(dict.fromkeys(found))

    def _split(self, piece: str) -> tuple[str, ...]:
        best: list[tuple[float, tuple[str, ...]] | None] = [(0.0, ())]
        for end in range(1, len(piece) + 1):
            options = []
            for start in range(max(0, end - _LONGEST_PART), end):
                before, cost = best[start], self._cost.get(piece[start:end])
                if before is not None and cost is not None and (start, end) != (0, len(piece)):
                    options.append((before[0] + cost, (*before[1], piece[start:end])))
            best.append(min(options, default=None))
        found = best[-1]
        return found[1] if found is not None else (piece,)
