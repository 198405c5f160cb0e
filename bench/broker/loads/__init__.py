"""Programs that load a broker: ``python -m bench.broker.loads.NAME``, each printing one line of JSON.

Those named ``confluent_...`` run in the environment of confluent-kafka and import nothing of StreamCore.
"""
