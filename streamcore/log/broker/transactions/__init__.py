"""Producers and their transactions: identities, epochs, states, and the records that keep them."""
