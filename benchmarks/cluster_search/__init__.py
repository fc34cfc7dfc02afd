"""What a cluster adds to a search: `python -m benchmarks.cluster_search`."""
