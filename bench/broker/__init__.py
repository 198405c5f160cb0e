"""Measure the broker beside Apache Kafka: ``make bench-broker``, or ``python bench/broker/run.py --help``.

run          the table: interleaved rounds, both brokers in each
rows         the measurements and their targets
site         what measurements use: sizes, running brokers, loaded topics, clients
throughput, latency, holding   the measurements
brokers      StreamCore and Apache Kafka as processes: start, observe, stop
kafka        the command lines and settings of Apache Kafka and its tools
topics       create, fill and count topics over the network
children     processes that are ended by their pid in every case
loads/       programs that load a broker, each a process
results      the table as text and in BROKER.md
"""
