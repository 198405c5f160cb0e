"""The operators: each takes a batch and returns a batch. No files, no log, no event loop."""
