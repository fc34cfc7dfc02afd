"""What it costs to have documents on disk, and to keep an index healthy while it is used."""
