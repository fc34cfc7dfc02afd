"""One kernel at a time."""
