"""Authentication of one connection: SASL PLAIN and SCRAM as state machines without I/O."""
