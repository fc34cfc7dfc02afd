"""The release's number, alone in its file so that packaging reads it without importing the engine."""

__version__ = "0.1.0"
