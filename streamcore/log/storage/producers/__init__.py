"""The state of idempotent producers in a partition, and the snapshot files that store it."""
