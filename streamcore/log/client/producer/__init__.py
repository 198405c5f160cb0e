"""The public producer: batching, partitioning, and sending in order."""
