"""The server and the client beside the same calls in process: what HTTP adds, and how much a machine answers."""
