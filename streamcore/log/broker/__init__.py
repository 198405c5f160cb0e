"""The broker: typed requests in, decisions and durable records out.

No socket, no thread, no lock and no clock. The owner of a ``Broker`` (the node, for embedded logs and for
servers) drives its operations and makes its partitions durable. Groups, transactions, access and settings
have a package each.
"""
