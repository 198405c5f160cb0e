"""The ways to use a log from a program: the port, the embedded adapter, producers and consumers."""
