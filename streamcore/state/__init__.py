"""State of tasks: sorted stores on RocksDB or in memory, write-back, changelogs, restore, queries.

What is below knows bytes (``engine``, ``memory``, ``rocks``), the middle knows keys and values
(``keys``, ``write_back``, ``windowed``), and around them stand the changelog that makes state survive
the loss of a disk (``changelog``, ``restoring``, ``restore``), the folders (``directory``) and the
reading side (``position``, ``descriptions``, ``queries``). Of the log, only the client port is used.
"""
