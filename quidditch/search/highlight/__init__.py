"""Fragments of a hit's text with the words marked that made it a hit."""
