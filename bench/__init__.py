"""Measure what StreamCore costs: ``make bench``, or ``python bench/run.py --help``.

run           the table: interleaved rounds, each measurement in a new process
rows          the measurements and their targets
measure       one measurement, in this process
applications  the measured applications, and the checks of their answers
events        the events
processing, log_work, starting, memory   the measured work
peers/        the same work by other programs
results       the table as text and in RESULTS.md
broker/       the broker compared with Apache Kafka: ``make bench-broker``
"""
