"""Kafka's protocol as bytes: frames, headers, and messages as data. Pure: no broker, no I/O."""
