"""The same work by other libraries, each a program that prints one JSON line. No imports of StreamCore."""
