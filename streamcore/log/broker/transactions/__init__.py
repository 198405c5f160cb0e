"""Producers and their transactions: identities, epochs, states, and their records."""
