"""The state of tasks: sorted stores on RocksDB or in memory, write-back, changelogs, restore, queries.

Three layers: ``engine``, ``memory`` and ``rocks`` store bytes; ``keys``, ``write_back`` and ``windowed``
store keys and values; around them are the changelog, which restores state after the loss of a disk
(``changelog``, ``restoring``, ``restore``), the folders (``directory``) and the queries (``position``,
``descriptions``, ``queries``). Of the log, only the client port is used.
"""
