"""The queries, a page each. A page declares ``app`` and is to be read from the top."""
