"""What a cluster of a hundred nodes would cost: by simulation, with shards that are none."""
