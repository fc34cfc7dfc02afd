"""The release's number, alone with that of the wire so that packaging reads it without importing the engine."""

__version__ = "0.1.0"

PROTOCOL_HEADER = "x-quidditch-protocol"
"""On every answer of a server: a client takes none without it for an answer to what it asked."""

PROTOCOL = "1"
