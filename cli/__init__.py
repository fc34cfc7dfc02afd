"""The `quidditch` command: one module per group of commands, each printing what the library returned."""
