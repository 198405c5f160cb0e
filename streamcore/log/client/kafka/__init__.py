"""The port's adapter for a broker behind Kafka's protocol, over librdkafka."""
