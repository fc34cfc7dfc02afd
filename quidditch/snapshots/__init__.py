"""Snapshots as files: what a repository holds, and what is wished of it. Knows no network."""
