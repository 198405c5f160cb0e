"""Consumer groups of both protocols: members, assignments, committed offsets, and their records."""
