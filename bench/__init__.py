"""Measures what StreamCore costs: ``make bench``, or ``python bench/run.py --help``.

run           the table: interleaved rounds, each measurement in a process of its own
rows          what is measured, and what it must reach
measure       one measurement, in this process
applications  the applications that are measured, and how their answers are checked
events        the events, and the folders they stand in
processing, log_work, starting, memory   the work itself
peers/        the same work by others
results       the table in text and in RESULTS.md
broker/       the broker beside Apache Kafka: ``make bench-broker``
"""
