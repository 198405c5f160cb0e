"""The protocol's requests: decoded message in, operation of the broker, response message out. No sockets."""
