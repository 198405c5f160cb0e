"""StreamCore: stream processing for Python on an embedded, durable log in Kafka's format.

``import streamcore as sc`` gives every public name; each is loaded at its first use.

Declare an application::

    App                                  an application; everything is declared on it
    Topic, Stream, WindowedStream        objects with operators as methods
    AppTable, HoppingTable, SessionTable, WindowValues, Table, WindowedTable, GlobalTable
    Events                               the argument of an agent: async def f(events: sc.Events[Order])
    count, sum, min, max, mean, variance, stddev, first, last, argmin, argmax, top, collect, distinct,
    approx_distinct, quantile, aggregation, Aggregator    for stream.aggregate(...)
    cogroup                              several streams into one table
    stop, skip, retry, dead_letter       for on_error=
    Record, Windowed, Serde              a record, a key in a window, a user-defined codec
    Processor, Store, DueTimer           the low level: stream.process("name", ProcessorClass)

Run it::

    run, Worker, Running                 with sc.run(app) as running: ...
    Answer, Position, TopicPartition     results of queries of running.table(name)
    testing.TopologyDriver               tests of an application, without files and waiting

Use the log by itself, or serve it to Kafka clients::

    connect, connect_async, Log, Isolation
    serve, ServedLog, ServerSettings, Security, Tls

All errors derive from ``StreamCoreError``; ``streamcore.errors`` groups them by what to do about them.

From the shell: ``streamcore --help``, or ``python -m streamcore --help``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str

    from streamcore import errors as errors
    from streamcore import testing as testing
    from streamcore.errors import ClosedError as ClosedError
    from streamcore.errors import ConcurrentTransactionsError as ConcurrentTransactionsError
    from streamcore.errors import CorruptBatchError as CorruptBatchError
    from streamcore.errors import CorruptDataError as CorruptDataError
    from streamcore.errors import CorruptIndexError as CorruptIndexError
    from streamcore.errors import CorruptStoreError as CorruptStoreError
    from streamcore.errors import DirectoryInUseError as DirectoryInUseError
    from streamcore.errors import FencedError as FencedError
    from streamcore.errors import InvalidConfigError as InvalidConfigError
    from streamcore.errors import InvalidRecordError as InvalidRecordError
    from streamcore.errors import InvalidTimestampError as InvalidTimestampError
    from streamcore.errors import InvalidTransactionStateError as InvalidTransactionStateError
    from streamcore.errors import NotOwnerError as NotOwnerError
    from streamcore.errors import OffsetOutOfRangeError as OffsetOutOfRangeError
    from streamcore.errors import OutOfOrderSequenceError as OutOfOrderSequenceError
    from streamcore.errors import ProducerFencedError as ProducerFencedError
    from streamcore.errors import RebalanceInProgressError as RebalanceInProgressError
    from streamcore.errors import RecordTooLargeError as RecordTooLargeError
    from streamcore.errors import RequestTimeoutError as RequestTimeoutError
    from streamcore.errors import RetriableError as RetriableError
    from streamcore.errors import SerdeError as SerdeError
    from streamcore.errors import ServerFailedError as ServerFailedError
    from streamcore.errors import StaleGenerationError as StaleGenerationError
    from streamcore.errors import StorageError as StorageError
    from streamcore.errors import StreamCoreError as StreamCoreError
    from streamcore.errors import TopicExistsError as TopicExistsError
    from streamcore.errors import TopologyError as TopologyError
    from streamcore.errors import UnknownTopicError as UnknownTopicError
    from streamcore.errors import UnsupportedVersionError as UnsupportedVersionError
    from streamcore.errors import UsageError as UsageError
    from streamcore.errors import UserCodeError as UserCodeError
    from streamcore.log.async_log import connect_async as connect_async
    from streamcore.log.connect import connect as connect
    from streamcore.log.connected_log import ConnectedLog as Log
    from streamcore.log.server.security import Security as Security
    from streamcore.log.server.security import Tls as Tls
    from streamcore.log.server.settings import ServerSettings as ServerSettings
    from streamcore.log.serving import ServedLog as ServedLog
    from streamcore.log.serving import serve as serve
    from streamcore.model import Isolation as Isolation
    from streamcore.model import Record as Record
    from streamcore.model import TopicPartition as TopicPartition
    from streamcore.model import Windowed as Windowed
    from streamcore.processing.dsl.app import App as App
    from streamcore.processing.dsl.app import Events as Events
    from streamcore.processing.dsl.app_table import AppTable as AppTable
    from streamcore.processing.dsl.app_table import HoppingTable as HoppingTable
    from streamcore.processing.dsl.app_table import SessionTable as SessionTable
    from streamcore.processing.dsl.cogrouping import cogroup as cogroup
    from streamcore.processing.dsl.processor import Processor as Processor
    from streamcore.processing.dsl.processor import Store as Store
    from streamcore.processing.dsl.stream import Stream as Stream
    from streamcore.processing.dsl.table import GlobalTable as GlobalTable
    from streamcore.processing.dsl.table import Table as Table
    from streamcore.processing.dsl.table import WindowedTable as WindowedTable
    from streamcore.processing.dsl.topic import Topic as Topic
    from streamcore.processing.dsl.window_values import WindowValues as WindowValues
    from streamcore.processing.dsl.windowed_stream import WindowedStream as WindowedStream
    from streamcore.processing.runtime.background import Running as Running
    from streamcore.processing.runtime.background import run as run
    from streamcore.processing.runtime.running import Worker as Worker
    from streamcore.processing.topology.aggregations import aggregation as aggregation
    from streamcore.processing.topology.aggregations import count as count
    from streamcore.processing.topology.aggregations import first as first
    from streamcore.processing.topology.aggregations import last as last
    from streamcore.processing.topology.aggregations import max as max
    from streamcore.processing.topology.aggregations import mean as mean
    from streamcore.processing.topology.aggregations import min as min
    from streamcore.processing.topology.aggregations import stddev as stddev
    from streamcore.processing.topology.aggregations import sum as sum
    from streamcore.processing.topology.aggregations import variance as variance
    from streamcore.processing.topology.aggregator import Aggregator as Aggregator
    from streamcore.processing.topology.error_policy import dead_letter as dead_letter
    from streamcore.processing.topology.error_policy import retry as retry
    from streamcore.processing.topology.error_policy import skip as skip
    from streamcore.processing.topology.error_policy import stop as stop
    from streamcore.processing.topology.kept_aggregations import argmax as argmax
    from streamcore.processing.topology.kept_aggregations import argmin as argmin
    from streamcore.processing.topology.kept_aggregations import collect as collect
    from streamcore.processing.topology.kept_aggregations import distinct as distinct
    from streamcore.processing.topology.kept_aggregations import top as top
    from streamcore.processing.topology.processors import DueTimer as DueTimer
    from streamcore.processing.topology.sketches import approx_distinct as approx_distinct
    from streamcore.processing.topology.sketches import quantile as quantile
    from streamcore.serde import Serde as Serde
    from streamcore.state.position import Position as Position
    from streamcore.state.queries import Answer as Answer

__all__ = [
    "Aggregator",
    "Answer",
    "App",
    "AppTable",
    "ClosedError",
    "ConcurrentTransactionsError",
    "CorruptBatchError",
    "CorruptDataError",
    "CorruptIndexError",
    "CorruptStoreError",
    "DirectoryInUseError",
    "DueTimer",
    "Events",
    "FencedError",
    "GlobalTable",
    "HoppingTable",
    "InvalidConfigError",
    "InvalidRecordError",
    "InvalidTimestampError",
    "InvalidTransactionStateError",
    "Isolation",
    "Log",
    "NotOwnerError",
    "OffsetOutOfRangeError",
    "OutOfOrderSequenceError",
    "Position",
    "Processor",
    "ProducerFencedError",
    "RebalanceInProgressError",
    "Record",
    "RecordTooLargeError",
    "RequestTimeoutError",
    "RetriableError",
    "Running",
    "Security",
    "Serde",
    "SerdeError",
    "ServedLog",
    "ServerFailedError",
    "ServerSettings",
    "SessionTable",
    "StaleGenerationError",
    "StorageError",
    "Store",
    "Stream",
    "StreamCoreError",
    "Table",
    "Tls",
    "Topic",
    "TopicExistsError",
    "TopicPartition",
    "TopologyError",
    "UnknownTopicError",
    "UnsupportedVersionError",
    "UsageError",
    "UserCodeError",
    "WindowValues",
    "Windowed",
    "WindowedStream",
    "WindowedTable",
    "Worker",
    "__version__",
    "aggregation",
    "approx_distinct",
    "argmax",
    "argmin",
    "cogroup",
    "collect",
    "connect",
    "connect_async",
    "count",
    "dead_letter",
    "distinct",
    "errors",
    "first",
    "last",
    "max",
    "mean",
    "min",
    "quantile",
    "retry",
    "run",
    "serve",
    "skip",
    "stddev",
    "stop",
    "sum",
    "testing",
    "top",
    "variance",
]

_MODULES = {
    "Aggregator": "processing.topology.aggregator",
    "Answer": "state.queries",
    "App": "processing.dsl.app",
    "AppTable": "processing.dsl.app_table",
    "Events": "processing.dsl.app",
    "GlobalTable": "processing.dsl.table",
    "HoppingTable": "processing.dsl.app_table",
    "Isolation": "model",
    "Log": "log.connected_log",
    "DueTimer": "processing.topology.processors",
    "Position": "state.position",
    "Processor": "processing.dsl.processor",
    "Record": "model",
    "Running": "processing.runtime.background",
    "Security": "log.server.security",
    "Serde": "serde",
    "ServedLog": "log.serving",
    "ServerSettings": "log.server.settings",
    "SessionTable": "processing.dsl.app_table",
    "Store": "processing.dsl.processor",
    "Stream": "processing.dsl.stream",
    "Table": "processing.dsl.table",
    "Tls": "log.server.security",
    "Topic": "processing.dsl.topic",
    "TopicPartition": "model",
    "WindowValues": "processing.dsl.window_values",
    "Windowed": "model",
    "WindowedStream": "processing.dsl.windowed_stream",
    "WindowedTable": "processing.dsl.table",
    "Worker": "processing.runtime.running",
    "aggregation": "processing.topology.aggregations",
    "approx_distinct": "processing.topology.sketches",
    "argmax": "processing.topology.kept_aggregations",
    "argmin": "processing.topology.kept_aggregations",
    "cogroup": "processing.dsl.cogrouping",
    "collect": "processing.topology.kept_aggregations",
    "connect": "log.connect",
    "connect_async": "log.async_log",
    "count": "processing.topology.aggregations",
    "dead_letter": "processing.topology.error_policy",
    "distinct": "processing.topology.kept_aggregations",
    "first": "processing.topology.aggregations",
    "last": "processing.topology.aggregations",
    "max": "processing.topology.aggregations",
    "mean": "processing.topology.aggregations",
    "min": "processing.topology.aggregations",
    "quantile": "processing.topology.sketches",
    "retry": "processing.topology.error_policy",
    "run": "processing.runtime.background",
    "serve": "log.serving",
    "skip": "processing.topology.error_policy",
    "stddev": "processing.topology.aggregations",
    "stop": "processing.topology.error_policy",
    "sum": "processing.topology.aggregations",
    "top": "processing.topology.kept_aggregations",
    "variance": "processing.topology.aggregations",
}
"""The module that defines each public name; the errors are all in ``errors``."""


def __getattr__(name: str) -> object:
    """Load a public name from its module."""
    value: object
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value = version("streamcore")
        except PackageNotFoundError:  # run from the source folder, without an installation
            value = "unknown"
    elif name in ("testing", "errors"):
        return import_module(f"streamcore.{name}")
    elif name in _MODULES:
        module = import_module(f"streamcore.{_MODULES[name]}")
        value = getattr(module, "ConnectedLog" if name == "Log" else name)
    elif name in __all__:
        value = getattr(import_module("streamcore.errors"), name)
    else:
        raise AttributeError(f"module 'streamcore' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
