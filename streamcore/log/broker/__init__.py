"""The broker: typed requests in, decisions and durable records out.

No socket, no thread, no lock and no clock of its own. Whoever owns a ``Broker`` (the embedded
adapter, and the server beside it) drives its operations and makes its partitions durable. Groups,
transactions, access and settings have a package each.
"""
