"""Indexing and searching as a user does it."""
