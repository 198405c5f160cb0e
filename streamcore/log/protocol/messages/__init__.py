"""The messages of each API, a module an API: requests, responses, and the structures inside them."""
