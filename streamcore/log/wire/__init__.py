"""Kafka's wire protocol, bytes to values and back, and values to the broker's operations. No I/O.

``messages`` are the tables, ``fields`` the words that they are written in, ``codec`` what compiles
them, ``apis`` the list of what is served. ``produce`` and ``fetch`` are written by hand, so that record
bytes are never copied or looked into. ``handlers`` turn requests into the broker's operations.
"""
