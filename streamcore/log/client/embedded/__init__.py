"""The port's adapter for a log in this process."""
