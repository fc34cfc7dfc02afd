"""The plain string, as people type it into a search box -> a query. It never raises.

    words           documents with any of them; those with more, and rarer, words come first
    "two words"     only documents with this phrase
    -word -"a b"    not the documents with it; a string of only these finds everything else
    pref*           words that start so
    field:word      only documents with it in that field, when the mapping has it; field:"two words" and
                    field:pref* too
    *               (alone) everything

Beside a phrase or a field:word, which are required, plain words rank and need not be there. Everything else
is searched as words: the name of an unknown field, a value its field cannot hold (year:abc), a quote that is
not closed, operators.

A word is looked for in every main field that is text or keyword (text first; a multi-field stands in where
the main field is neither), at most DEFAULT_FIELDS_LIMIT of them. Each word counts by the field it scores best
in, plus a tenth of the others, so that words found in different fields add up and one word found everywhere
does not count many times. A keyword field holds whole values: it is found by one word, or by a quoted phrase
that is the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from quidditch.analysis.analyzer import Analyzer
from quidditch.analysis.registry import get_analyzer
from quidditch.query.compound import Bool, DisMax, MatchAll, MatchNone
from quidditch.query.dsl import Query
from quidditch.query.fulltext import Match, Phrase
from quidditch.query.primitive import Primitive
from quidditch.query.rewrite import rewrite
from quidditch.query.rewriting import CLAUSE_LIMIT, ID_FIELD, RewriteContext
from quidditch.query.term import Ids, Prefix
from quidditch.schema.dates import parse_date_bound
from quidditch.schema.fields import DateField, Field, KeywordField, TextField
from quidditch.schema.mapping import Mapping

CHARACTERS_LIMIT = 32_768
PARTS_LIMIT = 256
"""Words and phrases of one string."""

DEFAULT_FIELDS_LIMIT = 16
TIE_BREAKER = 0.1

_PART = re.compile(
    r"""(?P<minus>-?)
        (?:(?P<field>[^\s":]+):(?=[^\s]))?
        (?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))""",
    re.VERBOSE,
)
_RUN = re.compile(r"[^\W\d_]+|\d+")
_ONE_BY_ONE = re.compile(r"[\u0e00-\U0010ffff]|[^\w\x00-\x7f]")
"""Characters that can be a term, or begin one, wherever they stand: scripts without spaces, and symbols."""

_LAST_RUN = re.compile(r"\w+$")
_PREFIX = re.compile(r"[^*]+\*")
_UNPRINTABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class _Part:
    """One word or phrase: what it says, where it is looked for (None: the default fields), and its marks."""

    text: str
    field: Field | None = None
    is_id: bool = False
    is_phrase: bool = False
    is_prefix: bool = False
    excluded: bool = False

    @property
    def is_required(self) -> bool:
        return self.is_id or self.is_phrase or self.field is not None

    @property
    def is_word(self) -> bool:
        return not (self.is_required or self.is_prefix)

    def cost(self) -> int:
        """Clauses that one field makes of it, or more."""
        runs, singles = len(_RUN.findall(self.text)), len(_ONE_BY_ONE.findall(self.text))
        # Analyzers cut a long run into pieces; a prefix may be asked for in two spellings.
        return max(1, runs + singles + len(self.text) // 200) * (2 if self.is_prefix else 1)


def parse_plain(
    text: str,
    mapping: Mapping,
    default_fields: Sequence[str] | None = None,
    analyzer: Callable[[str], Analyzer] = get_analyzer,
) -> tuple[Query, list[str]]:
    """The query that a person means by `text`, and notes on what was cut or finds nothing.

    `default_fields` are looked through instead of all; names that are not mapped are left out. The query
    stays below the clause limit of rewriting.
    """
    notes: list[str] = []
    if len(text) > CHARACTERS_LIMIT:
        notes.append(f"The query was cut to its first {CHARACTERS_LIMIT} of {len(text)} characters.")
        text = text[:CHARACTERS_LIMIT]
    text = _UNPRINTABLE.sub(" ", text).strip()
    if text == "*":
        return MatchAll(), notes
    fields = _default_fields(mapping, default_fields, notes)
    if not fields:
        notes.append("There is no text or keyword field to look for words in.")
    parts = _within_limits(_split(text, mapping), max(1, len(fields)), notes)
    if not parts:
        notes.append("The query is empty, so it finds nothing.")
        return MatchNone(), notes
    return _combine(_sayable(parts, fields, analyzer), fields), notes


def rewrite_plain(
    text: str, context: RewriteContext, default_fields: Sequence[str] | None = None
) -> tuple[Primitive, list[str]]:
    """`parse_plain`, rewritten: what a search over the string binds and scores, and the notes."""
    query, notes = parse_plain(text, context.mapping, default_fields, context.analyzer)
    return rewrite(query, context), notes


def _default_fields(mapping: Mapping, names: Sequence[str] | None, notes: list[str]) -> list[Field]:
    if names is None:
        sources = dict.fromkeys(field.source for field in mapping.fields.values())
        candidates = [_first_readable(mapping.at(source)) for source in sources]
        found = [field for field in candidates if field is not None]
        found.sort(key=lambda field: isinstance(field, KeywordField))
    else:
        expanded = dict.fromkeys(path for name in names for path in mapping.expand(name))
        found = [mapping.fields[path] for path in expanded if mapping.fields[path].searchable]
    if len(found) > DEFAULT_FIELDS_LIMIT:
        notes.append(f"{DEFAULT_FIELDS_LIMIT} of {len(found)} fields were searched; field:word asks another.")
    return found[:DEFAULT_FIELDS_LIMIT]


def _first_readable(fields: tuple[Field, ...]) -> Field | None:
    """The first field of one source that words can be looked for in."""
    return next(
        (field for field in fields if isinstance(field, TextField | KeywordField) and field.searchable), None
    )


def _split(text: str, mapping: Mapping) -> list[_Part]:
    parts = []
    for found in _PART.finditer(text):
        name, excluded = found["field"], bool(found["minus"])
        field = mapping.field(name) if name else None
        is_id = name == ID_FIELD
        content = found["word"] if found["phrase"] is None else found["phrase"]
        known = is_id or (field is not None and _can_hold(field, content))
        if name and not known:
            # No field of ours, so the name belongs to what is searched: http://..., 12:30.
            if found["phrase"] is None:
                content = f"{name}:{content}"
            else:
                parts.append(_Part(name, excluded=excluded))
        is_phrase = found["phrase"] is not None
        is_prefix = not is_phrase and bool(_PREFIX.fullmatch(content)) and not _ONE_BY_ONE.search(content)
        content = content[:-1] if is_prefix else content
        if content.strip():
            parts.append(_Part(content, field if known else None, is_id, is_phrase, is_prefix, excluded))
    return parts


def _can_hold(field: Field, content: str) -> bool:
    """Whether a search for this in the field makes sense; words go into any text."""
    if isinstance(field, TextField | KeywordField) or not field.searchable:
        return field.searchable
    try:
        if isinstance(field, DateField):
            parse_date_bound(content, field.formats, round_up=False, now_ms=0)
        else:
            field.convert(content)
    except ValueError:
        return False
    return True


def _within_limits(parts: list[_Part], fields: int, notes: list[str]) -> list[_Part]:
    """The parts from the left that fit PARTS_LIMIT and the clause limit; a long part is cut itself."""
    kept: list[_Part] = []
    left = CLAUSE_LIMIT
    for part in parts[:PARTS_LIMIT]:
        share = fields if part.field is None else 1
        if part.cost() * share > left:
            part = _cut(part, left // share)
            if part.text.strip():
                kept.append(part)
            break
        kept.append(part)
        left -= part.cost() * share
    if kept != parts:
        notes.append(f"The query was cut: {len(kept)} of its {len(parts)} words and phrases were searched.")
    return kept


def _cut(part: _Part, clauses: int) -> _Part:
    """The start of a word or phrase that makes no more than so many clauses in one field."""
    # No character adds more than a run, a term of its own and its share of a long run.
    text = "" if part.is_prefix else part.text[: clauses // 3]
    return replace(part, text=text)


def _join_words(parts: list[_Part], fields: list[Field]) -> list[_Part]:
    """Neighbouring words as one text where only one field is asked: its terms then lie in one flat clause."""
    if len(fields) != 1:
        return parts
    joined: list[_Part] = []
    for part in parts:
        if joined and joined[-1].is_word and part.is_word:
            joined[-1] = replace(part, text=f"{joined[-1].text} {part.text}")
        else:
            joined.append(part)
    return joined


def _sayable(parts: list[_Part], fields: list[Field], analyzer: Callable[[str], Analyzer]) -> list[_Part]:
    """Without the required parts that analysis leaves empty (a phrase of stop words), unless nothing else is
    wanted: no document could be asked for them, and they must not stand in for those that were."""
    kept = [part for part in parts if not (part.is_required and _says_nothing(part, fields, analyzer))]
    return kept if any(not part.excluded for part in kept) else parts


def _says_nothing(part: _Part, fields: list[Field], analyzer: Callable[[str], Analyzer]) -> bool:
    if part.is_id or part.is_prefix:
        return False
    asked = [part.field] if part.field else fields
    return all(
        isinstance(field, TextField) and not analyzer(field.query_analyzer).analyze_query(part.text)
        for field in asked
    )


def _combine(parts: list[_Part], fields: list[Field]) -> Query:
    """What is required, what ranks, and what is excluded, as one clause where it can be one."""
    wanted = [part for part in parts if not part.excluded]
    must = [_ask(part, fields) for part in wanted if part.is_required]
    should = [_ask(part, fields) for part in _join_words(wanted, fields) if not part.is_required]
    must_not = [_ask(part, fields) for part in parts if part.excluded]
    if len(must) + len(should) == 1 and not must_not:
        return (must or should)[0]
    return Bool(must=must, should=should, must_not=must_not)


def _ask(part: _Part, fields: list[Field]) -> Query:
    """The query for one part in its field, or in each of the default fields."""
    if part.is_id:
        return Ids(part.text)
    return _best_of([_ask_field(part, field) for field in ([part.field] if part.field else fields)])


def _best_of(queries: list[Query]) -> Query:
    """The only query, or all by the best score."""
    if not queries:
        return MatchNone()
    return queries[0] if len(queries) == 1 else DisMax(queries, tie_breaker=TIE_BREAKER)


def _ask_field(part: _Part, field: Field) -> Query:
    """The query for one part in one field; nothing that the field would refuse."""
    if part.is_prefix and isinstance(field, KeywordField):
        return Prefix(field.path, part.text, case_insensitive=True)
    if part.is_prefix and isinstance(field, TextField) and (tail := _LAST_RUN.search(part.text)):
        return _ask_prefix(part.text[: tail.start()], tail[0], field)
    if part.is_phrase and isinstance(field, TextField) and not field.has_positions:
        return Match(field.path, part.text, operator="and")
    if part.is_phrase and isinstance(field, TextField | KeywordField):
        return Phrase(field.path, part.text)
    return Match(field.path, part.text, lenient=not isinstance(field, TextField))


def _ask_prefix(head: str, start: str, field: TextField) -> Query:
    """Words that begin with `start`, beside the words before it (`wi-f*`). Terms are mostly lower case."""
    spellings = dict.fromkeys((start.lower(), start))
    prefix = _best_of([Prefix(field.path, spelling) for spelling in spellings])
    if not _RUN.search(head):
        return prefix
    return Bool(must=[Match(field.path, head, operator="and", zero_terms_query="all"), prefix])
