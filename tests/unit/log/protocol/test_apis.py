"""The table of served APIs, and the rules for the messages of each."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from streamcore.log.protocol.apis import (
    API_VERSIONS,
    APIS,
    FETCH,
    PRODUCE,
    PRODUCE_ADVERTISED_MIN,
    SASL_HANDSHAKE,
    Api,
)
from streamcore.log.protocol.codec import codec_of
from streamcore.log.protocol.fields import Message
from streamcore.log.protocol.layouts import FieldLayout, layout_of

every_api = pytest.mark.parametrize("api", APIS.values(), ids=lambda api: api.name)


def versions_of(api: Api) -> range:
    return range(api.version_min, api.version_max + 1)


def structures_of(message: type[Message], versions: range) -> Iterator[type[Message]]:
    """Return a message class and every structure inside it."""
    yield message
    inner = {field.kind.structure for version in versions for field in layout_of(message, version)}
    for structure in inner - {None}:
        assert structure is not None
        yield from structures_of(structure, versions)


def fields_of(api: Api) -> Iterator[tuple[type[Message], int, FieldLayout]]:
    for message in (api.request_type, api.response_type):
        for structure in structures_of(message, versions_of(api)):
            for version in versions_of(api):
                for field in layout_of(structure, version):
                    yield structure, version, field


def test_an_api_is_found_by_its_key_and_has_one_name() -> None:
    assert all(api.key == key for key, api in APIS.items())
    assert len({api.name for api in APIS.values()}) == len(APIS)
    assert APIS[0] is PRODUCE
    assert APIS[1] is FETCH
    assert APIS[18] is API_VERSIONS


def test_an_api_serves_the_versions_of_its_range() -> None:
    served = [version for version in range(-2, 20) if PRODUCE.serves(version)]

    assert served == list(range(3, 14))


def test_versions_are_flexible_from_one_on_or_never() -> None:
    assert [version for version in range(3, 14) if PRODUCE.is_flexible(version)] == [9, 10, 11, 12, 13]
    assert not SASL_HANDSHAKE.is_flexible(1)
    assert not SASL_HANDSHAKE.is_flexible(32_767)


def test_produce_is_advertised_from_a_version_that_is_not_served() -> None:
    assert PRODUCE_ADVERTISED_MIN == 0
    assert not PRODUCE.serves(PRODUCE_ADVERTISED_MIN)


@every_api
def test_a_range_of_versions_is_not_empty_and_flexible_versions_begin_in_it(api: Api) -> None:
    assert 0 <= api.version_min <= api.version_max
    assert not api.is_flexible(api.version_max) or api.flexible_from <= api.version_max


@every_api
def test_the_module_of_an_api_has_its_key_and_a_docstring(api: Api) -> None:
    docstring = import_module(api.module).__doc__

    assert docstring is not None
    assert re.fullmatch(rf"{api.name} \(key {api.key}\): \S.+\.", docstring.splitlines()[0])


@every_api
def test_a_codec_is_that_of_the_version_and_of_its_encoding(api: Api) -> None:
    for version in versions_of(api):
        flexible = api.is_flexible(version)
        assert api.request_codec(version) is codec_of(api.request_type, version, flexible)
        assert api.response_codec(version) is codec_of(api.response_type, version, flexible)


@every_api
def test_no_field_is_only_for_versions_that_are_not_served(api: Api) -> None:
    used = {(structure, field.name) for structure, _, field in fields_of(api)}

    for structure in {structure for structure, _ in used}:
        assert {name for found, name in used if found is structure} == set(structure.__struct_fields__)


@every_api
def test_a_field_that_a_version_lacks_has_a_default(api: Api) -> None:
    fields = list(fields_of(api))
    versions: dict[tuple[type[Message], str], set[int]] = {}
    for structure, version, field in fields:
        versions.setdefault((structure, field.name), set()).add(version)

    for structure, _, field in fields:
        has_all = len(versions[structure, field.name]) == len(versions_of(api))
        assert has_all or field.has_default, f"{structure.__name__}.{field.name}"


@every_api
def test_tagged_fields_are_in_flexible_versions_have_defaults_and_numbers_from_0_on(api: Api) -> None:
    tags: dict[tuple[type[Message], int], list[int]] = {}
    for structure, version, field in fields_of(api):
        if field.tag is not None:
            assert api.is_flexible(version)
            assert field.has_default
            tags.setdefault((structure, version), []).append(field.tag)

    assert all(sorted(numbers) == list(range(len(numbers))) for numbers in tags.values())


@every_api
def test_a_field_that_may_not_be_null_has_another_default(api: Api) -> None:
    for structure, version, field in fields_of(api):
        if field.has_default and not field.is_nullable:
            assert field.default is not None, f"{structure.__name__}.{field.name} in version {version}"


def test_the_messages_of_an_api_are_loaded_at_first_use(project: Path) -> None:
    program = (
        "import sys\n"
        "from streamcore.log.protocol.apis import API_VERSIONS\n"
        "def loaded():\n"
        "    return sorted(n.rpartition('.')[2] for n in sys.modules if '.protocol.messages.' in n)\n"
        "print(loaded())\n"
        "API_VERSIONS.request_codec(3)\n"
        "print(loaded())\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=project, capture_output=True, text=True, check=True, timeout=30
    )

    assert done.stdout.splitlines() == ["[]", "['api_versions']"]
