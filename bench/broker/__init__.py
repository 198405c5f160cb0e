"""Measures the broker beside Apache Kafka: ``make bench-broker``, or ``python bench/broker/run.py --help``.

run          the table: interleaved rounds, both brokers in each
rows         what is measured, and what it must reach
site         what measurements stand on: sizes, running brokers, loaded topics, clients
throughput, latency, holding   the measurements
brokers      StreamCore and Apache Kafka as processes: started, asked, looked at, ended
kafka        how Apache Kafka and its tools are started, and with which settings
topics       topics made, filled and counted over the wire
children     processes that are ended by their pid, whatever happens
loads/       programs that load a broker, each a process
results      the table in text and in BROKER.md
"""
