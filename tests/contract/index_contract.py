"""What every `Index` does. Put an implementation under it by subclassing and supplying `database`."""

from __future__ import annotations

import pytest
from mapping_contract import MappingContract
from search_contract import BOOKS, MAPPINGS, SearchContract
from writing_contract import WritingContract

from quidditch.interface import Database, Index


class IndexContract(WritingContract, MappingContract, SearchContract):
    """Documents in, hits out: all that can be asked of one index."""

    @pytest.fixture
    def database(self) -> Database:
        """An open database without an index."""
        raise NotImplementedError("a subclass supplies the database")

    @pytest.fixture
    def index(self, database: Database) -> Index:
        return database.create_index("plain")

    @pytest.fixture
    def books(self, database: Database) -> Index:
        index = database.create_index("books", mappings=MAPPINGS)
        assert index.add_many(BOOKS).ok == len(BOOKS)
        return index
