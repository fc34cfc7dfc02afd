"""How fast many documents go into a cluster on one machine, and what each process does for it."""
