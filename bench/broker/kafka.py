"""The command lines and settings of Apache Kafka and its tools.

The broker's settings are its defaults, except what a single node needs and where it listens. So it answers
``acks=all`` when the record is in the page cache of the system. The JVM gets the options of Kafka's own start
script.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

SINGLE_NODE: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "inter.broker.listener.name": "PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
}
"""The settings that one node needs in order to start; everything else is the default."""

JVM_OPTIONS: Final = (
    "-Xms1G",
    "-Xmx1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
    "-Djava.awt.headless=true",
)

_CLUSTER_ID = "c3RyZWFtY29yZS1iZW5jaA"
_LOGGING = Path(__file__).with_name("log4j2.xml")


def log_folder(folder: Path) -> Path:
    """Return the folder of the partitions of a broker in this folder."""
    return folder / "log"


def prepare(folder: Path, port: int, controller_port: int) -> None:
    """Write the settings of a broker in this folder."""
    settings = {
        **SINGLE_NODE,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "log.dirs": str(log_folder(folder)),
    }
    _settings_file(folder).write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


def format_command(jars: Path, folder: Path) -> list[str]:
    """Return the command that formats a new folder; call ``prepare`` first."""
    options = ["format", "-t", _CLUSTER_ID, "-c", str(_settings_file(folder))]
    return _java(jars, (), "kafka.tools.StorageTool", options)


def broker_command(jars: Path, folder: Path) -> list[str]:
    """Return the command that runs the broker of a folder."""
    options = (*JVM_OPTIONS, f"-Dkafka.logs.dir={folder}")
    return _java(jars, options, "kafka.Kafka", [str(_settings_file(folder))])


def producer_performance_command(
    jars: Path, address: str, topic: str, count: int, value_bytes: int
) -> list[str]:
    """Return Kafka's own producer benchmark, with the defaults of the Java client."""
    options = ["--bootstrap-server", address, "--topic", topic, "--num-records", str(count)]
    options += ["--record-size", str(value_bytes), "--throughput", "-1"]
    return _java(jars, (), "org.apache.kafka.tools.ProducerPerformance", options)


def consumer_performance_command(jars: Path, address: str, topic: str, count: int) -> list[str]:
    """Return Kafka's own consumer benchmark, with the defaults of the Java client."""
    options = ["--bootstrap-server", address, "--topic", topic, "--num-records", str(count), "--hide-header"]
    return _java(jars, (), "org.apache.kafka.tools.ConsumerPerformance", options)


def _settings_file(folder: Path) -> Path:
    return folder / "server.properties"


def _java(jars: Path, jvm_options: Sequence[str], main_class: str, options: Sequence[str]) -> list[str]:
    logging = f"-Dlog4j2.configurationFile={_LOGGING}"
    return ["java", *jvm_options, logging, "-cp", f"{jars}/*", main_class, *options]
