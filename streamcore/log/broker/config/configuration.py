"""The settings of the broker, the defaults of topics, the settings of groups, and their changes.

A setting of the broker may have a value on several levels, and the first one counts: the value that a client
has set for this node, the one set for all nodes, the one set at the start of the broker, and the default. A
topic's own setting comes before all of these; its default comes from the broker's settings (``inheritance``).

The settings that clients set are stored in the cluster state: kind ``broker-settings``, by the number of the
node or "" for all, and kind ``group-settings``, by the name of the group; each value is settings and their
values, as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from streamcore.errors import InvalidConfigError, with_facts
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.cluster_state import ClusterState, StateTable
from streamcore.log.broker.config.broker_settings import (
    BrokerSetting,
    Meaning,
    broker_settings,
    checked,
    in_topic_unit,
    setting_named,
)
from streamcore.log.broker.config.changes import Known, SettingChange, changed
from streamcore.log.broker.config.described import Described, Level, Source
from streamcore.log.broker.config.group_settings import GROUP_SETTINGS, ensure_group_setting
from streamcore.log.broker.config.texts import configured, texts_of
from streamcore.log.broker.operations import Operation
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.storage.settings import LogSettings
from streamcore.log.storage.topics.catalog import Catalog
from streamcore.log.storage.topics.topic_config import TopicConfig, default_settings, parsed_setting
from streamcore.log.storage.topics.topic_settings import TOPIC_SETTINGS

ALL_NODES: Final = ""
_DESCRIBED_MAX: Final = 100


class Start(Struct, frozen=True):
    """The settings with which a broker is started."""

    settings: BrokerSettings
    log_settings: LogSettings
    config: Mapping[str, str]
    """By Kafka's names; the two fields above contain them already, as far as they have the attributes."""


class Configuration:
    """The present settings of a broker."""

    def __init__(self, start: Start, node_id: int, state: ClusterState, catalog: Catalog) -> None:
        self._start = start
        self._node = str(node_id)
        self._state = state
        self._catalog = catalog
        self._described_topics: dict[tuple[tuple[str, str], ...], Sequence[Described]] = {}
        self._advertised = {"node.id": self._node, "broker.id": self._node}
        self._brokers = state.add(StateTable("broker-settings", dict[str, str], listener=self._obey))
        self._groups = state.add(StateTable("group-settings", dict[str, str]))
        self._static = start.config
        self.settings = start.settings
        """The broker's present settings. Callers keep only values that do not change while the broker
        runs.
        """
        self._obey()

    # --- what counts ----------------------------------------------------------------------------

    def advertise(self, config: Mapping[str, str]) -> None:
        """Add settings for DescribeConfigs that the broker does not know: listeners, server limits."""
        self._advertised.update(config)

    def consumer_session_timeout_ms(self, group: str) -> int:
        """The session timeout of a member of a group of the newer protocol (KIP-848)."""
        text = self._groups.values.get(group, {}).get("consumer.session.timeout.ms")
        return self.settings.consumer_session_timeout_ms if text is None else int(text)

    def consumer_heartbeat_interval_ms(self, group: str) -> int:
        """The heartbeat interval of members of a group of the newer protocol (KIP-848)."""
        text = self._groups.values.get(group, {}).get("consumer.heartbeat.interval.ms")
        return self.settings.consumer_heartbeat_interval_ms if text is None else int(text)

    def _obey(self, _resource: str = ALL_NODES, _values: Mapping[str, str] | None = None) -> None:
        dynamic = self._dynamic()
        self._described_topics.clear()
        self._catalog.set_defaults(topic_defaults_of({**self._static, **dynamic}))
        self.settings = configured(self._start.settings, Meaning.BROKER, dynamic)

    def _dynamic(self) -> dict[str, str]:
        return {
            **self._brokers.values.get(ALL_NODES, {}),
            **self._brokers.values.get(self._node, {}),
        }

    # --- showing --------------------------------------------------------------------------------

    def broker(self, resource: str) -> list[Described]:
        """Return the settings of the node, or those that are set for all nodes.

        Raises:
            Refused: there is no such node.
        """
        self._ensure_node(resource)
        if resource == ALL_NODES:
            settings = [setting_named(name) for name in self._brokers.values.get(ALL_NODES, {})]
            return [self._described(setting, [self._for_all(setting)]) for setting in settings]
        started = self._started()
        return [
            self._described(setting, list(self._levels(setting, started)))
            for setting in broker_settings().values()
        ]

    def topic(self, config: Mapping[str, str]) -> Sequence[Described]:
        """Return the typed settings of a topic with these settings; the same object for equal settings."""
        key = tuple(sorted(config.items()))
        found = self._described_topics.get(key)
        if found is None:
            if len(self._described_topics) >= _DESCRIBED_MAX:
                self._described_topics.clear()
            found = self._described_topics[key] = self._describe_topic(config)
        return found

    def _describe_topic(self, config: Mapping[str, str]) -> list[Described]:
        defaults = default_settings()
        found: list[Described] = []
        for name, setting in TOPIC_SETTINGS.items():
            levels: list[Level] = []
            if name in config:
                levels.append(Level(name, setting.kind.plain(config[name]), Source.DYNAMIC_TOPIC))
            inherited = [
                level
                for broker_name, _ in setting.inherited
                for level in self._levels(broker_settings()[broker_name], self._static)
                if level.source is not Source.DEFAULT or broker_name == setting.inherited[0][0]
            ]
            counting = (levels + [level for level in inherited if level.source is not Source.DEFAULT])[:1]
            value, source = defaults[name], Source.DEFAULT
            if counting:
                source = counting[0].source
                value = counting[0].value or ""
                if source is not Source.DYNAMIC_TOPIC:
                    value = setting.kind.plain(in_topic_unit(counting[0].name, value))
            found.append(
                Described(
                    name=name,
                    value=value,
                    source=source,
                    type=setting.kind.type,
                    is_read_only=False,
                    documentation=setting.documentation,
                    levels=tuple(levels + inherited),
                )
            )
        return found

    def group(self, name: str) -> list[Described]:
        """Return the settings of a group.

        Raises:
            Refused: the group has no name.
        """
        _ensure_group(name)
        values = self._groups.values.get(name, {})
        started = self._started()
        found: list[Described] = []
        for setting_name, setting in GROUP_SETTINGS.items():
            levels = [Level(setting.broker_setting, setting.default, Source.DEFAULT)]
            if setting.is_obeyed:
                levels = list(self._levels(broker_settings()[setting.broker_setting], started))
            if setting_name in values:
                levels.insert(0, Level(setting_name, values[setting_name], Source.GROUP))
            found.append(
                Described(
                    name=setting_name,
                    value=levels[0].value,
                    source=levels[0].source,
                    type=setting.kind.type,
                    is_read_only=not setting.is_obeyed,
                    documentation=setting.documentation,
                    levels=tuple(levels),
                )
            )
        return found

    def groups_with_settings(self) -> list[str]:
        """Return the groups that have settings."""
        return list(self._groups.values)

    def _started(self) -> dict[str, str]:
        """Return the settings at the start, and those that were advertised since."""
        return {
            **texts_of(self.settings, Meaning.BROKER),
            **texts_of(self._start.log_settings, Meaning.LOG),
            **self._advertised,
            **self._static,
        }

    def _levels(self, setting: BrokerSetting, started: Mapping[str, str]) -> Iterator[Level]:
        name = setting.name
        if (own := self._brokers.values.get(self._node, {}).get(name)) is not None:
            yield Level(name, setting.kind.plain(own), Source.DYNAMIC_BROKER)
        if name in self._brokers.values.get(ALL_NODES, {}):
            yield self._for_all(setting)
        value = started.get(name)
        is_changed = setting.meaning is Meaning.BROKER and name in self._dynamic()
        if value is not None and not is_changed and (value != setting.default or name in self._static):
            yield Level(name, value, Source.STATIC_BROKER)
        if setting.default is not None:
            yield Level(name, setting.default, Source.DEFAULT)

    def _for_all(self, setting: BrokerSetting) -> Level:
        value = self._brokers.values[ALL_NODES][setting.name]
        return Level(setting.name, setting.kind.plain(value), Source.DYNAMIC_DEFAULT_BROKER)

    def _described(self, setting: BrokerSetting, levels: Sequence[Level]) -> Described:
        return Described(
            name=setting.name,
            value=levels[0].value if levels else None,
            source=levels[0].source if levels else Source.DEFAULT,
            type=setting.kind.type,
            is_read_only=not setting.is_changeable,
            documentation=setting.documentation,
            levels=tuple(levels),
        )

    # --- changing -------------------------------------------------------------------------------

    def change_broker(
        self, resource: str, changes: Sequence[SettingChange], *, replace_all: bool, validate_only: bool
    ) -> Operation[None]:
        """Change the settings for the node, or for all; with ``replace_all`` all other settings are unset.

        Raises:
            Refused: there is no such node, or the setting cannot be changed while the broker runs.
            InvalidConfigError: a setting is unknown.
        """
        self._ensure_node(resource)
        current = {} if replace_all else self._brokers.values.get(resource, {})
        values = changed(current, changes, _known_broker_setting)
        for name, value in values.items():
            _ensure_changeable(name, value)
        others = self._brokers.values.get(ALL_NODES if resource else self._node, {})
        both = {**others, **values} if resource else {**values, **others}
        try:
            TopicConfig.parse(topic_defaults_of({**self._static, **both})).ensure_consistent()
        except InvalidConfigError as error:
            raise ApiError(ErrorName.INVALID_REQUEST, hint=error) from error
        if not validate_only:
            table = self._brokers
            yield from self._state.write([table.put(resource, values) if values else table.delete(resource)])

    def change_group(
        self, group: str, changes: Sequence[SettingChange], *, replace_all: bool, validate_only: bool
    ) -> Operation[None]:
        """Change the settings of a group, which need not exist.

        Raises:
            Refused: the group has no name.
            InvalidConfigError: a setting is unknown, impossible, or has no effect here.
        """
        _ensure_group(group)
        current = {} if replace_all else self._groups.values.get(group, {})
        values = changed(current, changes, _known_group_setting)
        for name, value in values.items():
            ensure_group_setting(name, value)
        if not validate_only:
            table = self._groups
            yield from self._state.write([table.put(group, values) if values else table.delete(group)])

    def _ensure_node(self, resource: str) -> None:
        if resource not in (ALL_NODES, self._node):
            raise ApiError(ErrorName.INVALID_REQUEST, broker=repr(resource), only_broker=self._node)


def known_topic_setting(name: str) -> Known | None:
    """Return what a change needs to know about a topic's setting; ``None`` for an unknown name."""
    setting = TOPIC_SETTINGS.get(name)
    return None if setting is None else Known(setting.kind.type, default_settings()[name])


def _known_broker_setting(name: str) -> Known | None:
    setting = broker_settings().get(name)
    return None if setting is None else Known(setting.kind.type, setting.default)


def _known_group_setting(name: str) -> Known | None:
    setting = GROUP_SETTINGS.get(name)
    return None if setting is None else Known(setting.kind.type, setting.default)


def _ensure_changeable(name: str, value: str) -> None:
    setting = setting_named(name)
    if not setting.is_changeable:
        hint = InvalidConfigError(
            "the setting cannot be changed while the broker runs",
            kafka_text=f"Cannot update these configs dynamically: [{name}]",
        )
        raise ApiError(ErrorName.INVALID_REQUEST, setting=name, hint=hint)
    try:
        checked(name, value)
    except InvalidConfigError as error:
        raise ApiError(ErrorName.INVALID_REQUEST, hint=error) from error


def _ensure_group(name: str) -> None:
    if not name:
        raise ApiError(ErrorName.INVALID_REQUEST, hint="a group needs a name")


def broker_config(defaults: Mapping[str, str]) -> dict[str, str]:
    """Convert defaults of topics, by the topics' names, to settings of the broker.

    Raises:
        InvalidConfigError: a setting is unknown or has no broker setting.
    """
    config: dict[str, str] = {}
    for name, value in defaults.items():
        parsed_setting(name, value)
        inherited = TOPIC_SETTINGS[name].inherited
        if not inherited:
            raise InvalidConfigError(
                with_facts("this topic setting has no broker setting as its default", setting=name)
            )
        config[inherited[0][0]] = value
    return config


def topic_defaults_of(values: Mapping[str, str]) -> dict[str, str]:
    """Return the defaults of topics; of the broker's settings for one, the first that is set."""
    defaults: dict[str, str] = {}
    for name, setting in TOPIC_SETTINGS.items():
        for broker_name, _ in setting.inherited:
            if broker_name in values:
                defaults[name] = in_topic_unit(broker_name, values[broker_name])
                break
    return defaults
