"""Faults of single fields: rows that contradict each other, or the sources."""

from __future__ import annotations

import struct

import msgspec
import numpy as np
from pyroaring import BitMap
from shard_faults import FAULTS, Shard, fault

from quidditch.index.codecs import (
    field_key,
    pack_bitmap,
    pack_integers,
    pack_strings,
    pack_uints,
    postings_key,
)
from quidditch.index.storage import Table

__all__ = ["FAULTS"]
"""All of them: those of `shard_faults.py`, and the ones that are entered here."""


@fault("presence", "field [price]", "0 documents have a value, the record says 47")
def presence_that_is_missing(shard: Shard) -> None:
    shard.delete(Table.PRESENCE, shard.key("price"))


@fault("presence", "field [price], table presence", "up to 140, of 140")
def a_value_of_a_document_past_the_last(shard: Shard) -> None:
    shard.put(Table.PRESENCE, shard.key("price"), pack_bitmap(BitMap([*range(46), 140])))


@fault("presence", "field [year], table presence", "nothing refers to")
def presence_where_every_document_has_a_value(shard: Shard) -> None:
    shard.put(Table.PRESENCE, shard.key("year"), pack_bitmap(BitMap(range(140))))


@fault("presence", "field [author.name], document 5", "2 tokens, and no value")
def a_document_with_tokens_and_without_a_value(shard: Shard) -> None:
    shard.put(Table.PRESENCE, shard.key("author.name"), pack_bitmap(BitMap([1, 0, *range(10, 140, 5)])))


@fault("presence", "field [tags], document 1", "0 terms; presence says True")
def a_keyword_in_presence_that_has_no_term(shard: Shard) -> None:
    held = BitMap(doc for doc in range(140) if doc % 3 == 0 or doc % 4 == 0)
    shard.put(Table.PRESENCE, shard.key("tags"), pack_bitmap((held | BitMap([1])) - BitMap([0])))


@fault("dictionary", "field [body]", "its term index is missing")
def a_term_index_that_is_missing(shard: Shard) -> None:
    shard.delete(Table.TERM_INDEX, field_key(1, shard.number(1, "body")))


@fault("dictionary", "field [body], table term_index", "77 terms, the record says 78")
def a_record_of_more_terms_than_there_are(shard: Shard) -> None:
    shard.change_field(1, "body", terms=78)


@fault("dictionary", "field [brief], table term_index", "do not ascend from 0")
def a_term_index_that_does_not_begin_at_zero(shard: Shard) -> None:
    value = struct.pack("<I", 1) + pack_uints(np.array([1, 3])) + pack_strings([b"maple"])
    shard.put(Table.TERM_INDEX, field_key(1, shard.number(1, "brief")), value)


@fault("dictionary", "field [body], table term_blocks", "this row is missing")
def a_block_of_terms_that_is_missing(shard: Shard) -> None:
    shard.delete(Table.TERM_BLOCKS, shard.key("body"))


@fault("dictionary", "field [body], table term_blocks", "nothing refers to")
def a_block_of_terms_too_many(shard: Shard) -> None:
    shard.copy(Table.TERM_BLOCKS, shard.key("body"), shard.key("body", 1))


@fault("dictionary", "field [mark], table term_blocks", "terms do not ascend after b'stone'")
def terms_out_of_order(shard: Shard) -> None:
    with shard.changed_block("mark") as block:
        block.terms[1:] = block.terms[:0:-1]


@fault("dictionary", "field [mark], table term_blocks", "the term index says b'maple'")
def a_block_that_begins_with_another_term(shard: Shard) -> None:
    with shard.changed_block("mark") as block:
        block.terms[0] = b"lichen"


@fault("dictionary", "field [mark], table term_blocks", "2 terms, the term index says 3")
def a_block_without_its_last_term(shard: Shard) -> None:
    with shard.changed_block("mark") as block:
        block.docs = block.docs[: -int(block.doc_freqs[-1])]
        block.doc_freqs = block.doc_freqs[:-1]
        del block.terms[-1]


@fault("dictionary", "field [mark], table term_blocks", "term b'maple' is in no document")
def a_term_in_no_document(shard: Shard) -> None:
    with shard.changed_block("mark") as block:
        block.docs = block.docs[int(block.doc_freqs[0]) :]
        block.doc_freqs[0] = 0


@fault("dictionary", "field [title], table term_blocks", "bytes,")
def a_position_too_many(shard: Shard) -> None:
    with shard.changed_block("title") as block:
        assert block.positions is not None
        block.positions = np.append(block.positions, block.positions[:1])


@fault("postings", "field [mark], table term_blocks", "the documents of term b'river' do not ascend")
def documents_of_a_term_out_of_order(shard: Shard) -> None:
    with shard.changed_block("mark") as block:
        first = int(block.doc_freqs[0])
        block.docs[first], block.docs[first + 1] = block.docs[first + 1], block.docs[first]


@fault("postings", "field [mark], table term_blocks", "document 140 of 140")
def a_term_in_a_document_past_the_last(shard: Shard) -> None:
    with shard.changed_block("mark") as block:
        block.docs[-1] = 140


@fault("postings", "field [title], table term_blocks", "is beyond 32 bits")
def a_position_beyond_32_bits(shard: Shard) -> None:
    with shard.changed_block("title") as block:
        assert block.positions is not None
        assert block.freqs is not None
        block.freqs[0] += 1
        block.positions = np.concatenate((np.full(2, 0xFFFFFFFF, np.uint32), block.positions[1:]))


@fault("dictionary", "field [body]", "140 postings found, 139 expected")
def a_document_frequency_below_the_postings(shard: Shard) -> None:
    with shard.changed_block("body") as block:
        block.doc_freqs[block.terms.index(b"common")] -= 1


def common(shard: Shard, window: int = 0) -> bytes:
    """The key of the one term of field `body` that has rows of its own."""
    return postings_key(1, shard.number(1, "body"), shard.block("body").terms.index(b"common"), window)


@fault("postings", "field [body], table postings", "nothing refers to")
def postings_of_a_window_that_there_is_not(shard: Shard) -> None:
    shard.copy(Table.POSTINGS, common(shard), common(shard, 1))


@fault("postings", "field [body], term b'common'", "bytes,")
def a_frequency_too_many(shard: Shard) -> None:
    shard.put(Table.POSTINGS, common(shard), shard.get(Table.POSTINGS, common(shard)) + b"\0")


@fault("positions", "field [body], term b'common'", "is missing")
def positions_that_are_missing(shard: Shard) -> None:
    shard.delete(Table.POSITIONS, common(shard))


@fault("positions", "field [body], term b'common'", "bytes,")
def positions_of_more_tokens_than_there_are(shard: Shard) -> None:
    shard.put(Table.POSITIONS, common(shard), pack_uints(np.ones(141, np.uint32)))


@fault("positions", "field [body], table positions", "nothing refers to")
def positions_without_postings(shard: Shard) -> None:
    shard.copy(Table.POSITIONS, common(shard), common(shard, 1))


def put_lengths(shard: Shard, name: str, doc: int, length: int) -> None:
    value = shard.get(Table.LENGTHS, shard.key(name))
    lengths = np.frombuffer(value, np.uint8)[1:].copy()
    assert len(lengths) == 140
    change = length - int(lengths[doc])
    lengths[doc] = length
    shard.put(Table.LENGTHS, shard.key(name), pack_uints(lengths.astype(np.uint32)))
    field = next(field for field in shard.record(1).fields if field.name == name)
    docs = int(np.count_nonzero(lengths))
    shard.change_field(1, name, sum_length_tokens=field.sum_length_tokens + change, doc_count=docs)


@fault("lengths", "field [brief], document 5", "length 5; its frequencies sum up to 4")
def a_length_above_the_frequencies(shard: Shard) -> None:
    put_lengths(shard, "brief", 5, 5)


@fault("lengths", "field [brief], document 5", "length 3; its frequencies sum up to 4")
def a_length_below_the_frequencies(shard: Shard) -> None:
    put_lengths(shard, "brief", 5, 3)


@fault("lengths", "field [mark], document 5", "length 1; its distinct terms are")
def a_length_below_the_distinct_terms(shard: Shard) -> None:
    put_lengths(shard, "mark", 5, 1)


@fault("lengths", "field [brief]", "112 tokens in 28 documents; the record says 113 in 28")
def a_record_of_other_lengths(shard: Shard) -> None:
    shard.change_field(1, "brief", sum_length_tokens=113)


@fault("lengths", "field [brief], table lengths", "this row is missing")
def lengths_that_are_missing(shard: Shard) -> None:
    shard.delete(Table.LENGTHS, shard.key("brief"))


@fault("lengths", "field [year], table lengths", "nothing refers to")
def lengths_of_a_number(shard: Shard) -> None:
    shard.copy(Table.LENGTHS, shard.key("brief"), shard.key("year"))


@fault("column", "field [brief], table columns", "nothing refers to")
def a_column_of_a_text(shard: Shard) -> None:
    shard.copy(Table.COLUMNS, shard.key("year"), shard.key("brief"))


@fault("column", "field [hidden], document 0", "the column holds b'kept-10', the postings do not")
def a_column_of_other_keywords(shard: Shard) -> None:
    ordinals = np.arange(14, dtype=np.uint32)
    terms = shard.block("hidden").terms
    by_doc = np.array([terms.index(b"kept-%d" % doc) for doc in range(0, 140, 10)], np.uint32)
    by_doc[:2] = by_doc[1::-1]
    assert sorted(by_doc.tolist()) == ordinals.tolist()
    shard.put(Table.COLUMNS, shard.key("hidden"), pack_uints(np.zeros(14, np.uint32)) + pack_uints(by_doc))


@fault("column", "field [hidden]", "ordinal 14 of 14 terms")
def a_column_of_keywords_that_there_are_not(shard: Shard) -> None:
    value = pack_uints(np.zeros(14, np.uint32)) + pack_uints(np.arange(1, 15))
    shard.put(Table.COLUMNS, shard.key("hidden"), value)


@fault("column", "field [hidden], table columns", "this row is missing")
def a_column_that_is_missing(shard: Shard) -> None:
    shard.delete(Table.COLUMNS, shard.key("hidden"))


def put_years(shard: Shard, *of_the_first: int) -> None:
    extra = np.array([len(of_the_first) - 1, *([0] * 139)])
    years = np.array([*of_the_first, *(1950 + doc % 70 for doc in range(1, 140))])
    shard.put(Table.COLUMNS, shard.key("year"), pack_uints(extra) + pack_integers(years))


@fault("column", "field [year], document 0", "its values do not ascend")
def numbers_of_a_document_out_of_order(shard: Shard) -> None:
    put_years(shard, 1951, 1950)


@fault("column", "field [price]", "not finite")
def a_number_that_is_none(shard: Shard) -> None:
    shard.put(Table.COLUMNS, shard.key("price"), b"\0" + np.full(47, np.nan).tobytes())


# Against the sources.


@fault("source", "field [mark], document 5 ('doc-005')", "term b'rivet'")
def another_term_than_in_the_sources(shard: Shard) -> None:
    with shard.changed_block("mark") as block:
        block.terms[1] = b"rivet"


@fault("source", "field [title], document", "at [1]")
def another_position_than_in_the_sources(shard: Shard) -> None:
    with shard.changed_block("title") as block:
        assert block.positions is not None
        block.positions[0] = 9


@fault("source", "field [year], document 0 ('doc-000')", "the index holds 1949; the source gives 1950")
def another_number_than_in_the_sources(shard: Shard) -> None:
    put_years(shard, 1949)


@fault("source", "field [tags], document 3 ('doc-003')", "b'dust'")
def another_keyword_than_in_the_sources(shard: Shard) -> None:
    shard.change_source(3, lambda doc: {**doc, "tags": ["dust"]})


@fault(
    "source", "field [price], document 1 ('doc-001')", "the index holds nothing else; the source gives 7.0"
)
def a_value_that_the_index_lacks(shard: Shard) -> None:
    shard.change_source(1, lambda doc: {**doc, "price": 7})


@fault("source", "field [price], document 3 ('doc-003')", "the source gives nothing else")
def a_value_that_the_source_lacks(shard: Shard) -> None:
    shard.change_source(3, lambda doc: {key: value for key, value in doc.items() if key != "price"})


@fault("mapping", "segment 1, field [extra]", "the mapping does not")
def a_field_that_the_mapping_does_not_have(shard: Shard) -> None:
    fields = [
        msgspec.structs.replace(field, name="extra") if field.name == "year" else field
        for field in shard.record(1).fields
    ]
    shard.change(1, fields=fields)
