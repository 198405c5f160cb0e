"""The running broker of one folder: its lock, the thread-safe driver of operations, and maintenance."""
