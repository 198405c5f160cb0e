"""The public consumer: positions, fetched records, and membership in a group."""
