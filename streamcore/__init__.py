"""StreamCore: stream processing for Python on an embedded, durable log in Kafka's format.

``import streamcore as sc`` gives everything that programs are written against. Names are loaded at first
use, so a program pays for what it touches.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamcore import testing
    from streamcore.errors import *  # noqa: F403
    from streamcore.log.connect import ConnectedLog as Log
    from streamcore.log.connect import connect, connect_async
    from streamcore.log.server.security import Security, Tls
    from streamcore.log.server.settings import ServerSettings
    from streamcore.log.serving import ServedLog, serve
    from streamcore.model import Isolation, Record, TopicPartition, Windowed
    from streamcore.processing.dsl.app import App, Events
    from streamcore.processing.dsl.app_table import AppTable
    from streamcore.processing.dsl.stream import Stream
    from streamcore.processing.dsl.table import GlobalTable, Table, WindowedTable
    from streamcore.processing.dsl.topic import Topic
    from streamcore.processing.dsl.windowed_stream import WindowedStream
    from streamcore.processing.runtime.running import Running, Worker, run
    from streamcore.processing.topology.aggregations import (
        Aggregator,
        aggregation,
        count,
        first,
        last,
        max,
        mean,
        min,
        sum,
    )
    from streamcore.processing.topology.error_policy import dead_letter, retry, skip, stop
    from streamcore.serde import Serde
    from streamcore.state.position import Position
    from streamcore.state.queries import Answer

_MODULES = {
    "Aggregator": "processing.topology.aggregations",
    "Answer": "state.queries",
    "App": "processing.dsl.app",
    "AppTable": "processing.dsl.app_table",
    "Events": "processing.dsl.app",
    "GlobalTable": "processing.dsl.table",
    "Isolation": "model",
    "Log": "log.connect",
    "Position": "state.position",
    "Record": "model",
    "Running": "processing.runtime.running",
    "Security": "log.server.security",
    "Serde": "serde",
    "ServedLog": "log.serving",
    "ServerSettings": "log.server.settings",
    "Stream": "processing.dsl.stream",
    "Table": "processing.dsl.table",
    "Tls": "log.server.security",
    "Topic": "processing.dsl.topic",
    "TopicPartition": "model",
    "Windowed": "model",
    "WindowedStream": "processing.dsl.windowed_stream",
    "WindowedTable": "processing.dsl.table",
    "Worker": "processing.runtime.running",
    "aggregation": "processing.topology.aggregations",
    "connect": "log.connect",
    "connect_async": "log.connect",
    "count": "processing.topology.aggregations",
    "dead_letter": "processing.topology.error_policy",
    "first": "processing.topology.aggregations",
    "last": "processing.topology.aggregations",
    "max": "processing.topology.aggregations",
    "mean": "processing.topology.aggregations",
    "min": "processing.topology.aggregations",
    "retry": "processing.topology.error_policy",
    "run": "processing.runtime.running",
    "serve": "log.serving",
    "skip": "processing.topology.error_policy",
    "stop": "processing.topology.error_policy",
    "sum": "processing.topology.aggregations",
}


def __getattr__(name: str) -> object:
    """Load a public name from its module; the errors are public, too."""
    if name in ("testing", "errors"):
        return import_module(f"streamcore.{name}")
    if name in _MODULES:
        module = import_module(f"streamcore.{_MODULES[name]}")
        value: object = getattr(module, "ConnectedLog" if name == "Log" else name)
    elif name.endswith("Error") and hasattr(errors := import_module("streamcore.errors"), name):
        value = getattr(errors, name)
    else:
        raise AttributeError(f"module 'streamcore' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES, "testing", "errors"])
