"""The messages of each API, one module per API: requests, responses, and the structures inside them."""
