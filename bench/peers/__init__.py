"""The same work by others, each a program of its own that prints one JSON line. No imports of StreamCore."""
