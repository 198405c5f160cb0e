"""What a partition knows of idempotent producers, and the snapshot files that keep it."""
