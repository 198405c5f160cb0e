"""Consumer groups of both protocols: members, assignments, positions, and the records that keep them."""
