"""Our tables of messages say what Kafka's own schemas say, field by field, in every version that we serve.

The schemas are JSON files in the jar of Kafka's client. Compared are the names of fields and structures,
their order, types, versions, nullability, tags and defaults.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from streamcore.log.protocol.apis import APIS, Api
from streamcore.log.protocol.fields import ZERO_UUID, Message, Versions
from streamcore.log.protocol.layouts import FieldLayout, layout_of

pytestmark = pytest.mark.interop

Schema: TypeAlias = Mapping[str, Any]

KINDS: Final = {
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "int64": "q",
    "float64": "d",
    "string": "string",
    "bytes": "bytes",
    "records": "records",
    "uuid": "uuid",
}

UNSTABLE: Final = {("InitProducerId", 6)}
"""Versions that Kafka has and does not offer: two-phase commit is not finished."""

OTHER_NAMES: Final = {
    "AlterClientQuotasResponse.entries": "EntryDataResult",
    "DescribeQuorumResponse.topics": "TopicDataResult",
    "DescribeQuorumResponse.topics.partitions": "PartitionDataResult",
}
"""Structures that Kafka names as it names others of the request, which are in the same module here."""

NULL_INSTEAD_OF_EMPTY: Final = {
    "FindCoordinatorResponse.error_message",
    "DescribeConfigsResponse.results.configs.documentation",
    "DescribeQuorumResponse.error_message",
    "DescribeQuorumResponse.topics.partitions.error_message",
}
"""Texts that may be null, and are so here when nobody gives them: there is nothing to say."""


@dataclass(frozen=True, slots=True)
class Schemas:
    """Kafka's schemas by name."""

    jar: Path

    def of(self, name: str) -> Schema:
        """One of them; its comments are taken out."""
        with zipfile.ZipFile(self.jar) as archive:
            text = archive.read(f"common/message/{name}.json").decode()
        schema: Schema = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
        return schema


@pytest.fixture(scope="module")
def schemas(jars: Path) -> Schemas:
    (jar,) = jars.glob("kafka-clients-*.jar")
    return Schemas(jar)


def in_lower_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def has(versions: str | None, version: int) -> bool:
    return versions is not None and versions != "none" and version in Versions(versions)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A schema against our table, in one version."""

    version: int
    structures: Mapping[str, list[Schema]]
    """The fields of structures that the schema uses in several places."""

    def differences(self, path: str, fields: list[Schema], message: type[Message]) -> Iterator[str]:
        """What is not the same, as a sentence each."""
        present = [field for field in fields if has(field["versions"], self.version)]
        ours = layout_of(message, self.version)
        names = [in_lower_case(field["name"]) for field in present]
        if names != [field.name for field in ours]:
            yield f"{path} has the fields {names}, ours are {[field.name for field in ours]}"
            return
        for field, layout in zip(present, ours, strict=True):
            yield from self._of_field(f"{path}.{layout.name}", field, layout)

    def _of_field(self, path: str, field: Schema, ours: FieldLayout) -> Iterator[str]:
        type_name = field["type"].removeprefix("[]")
        is_array = field["type"] != type_name
        structure = ours.kind.structure
        tag = field["tag"] if has(field.get("taggedVersions"), self.version) else None
        compared: dict[str, tuple[object, object]] = {
            "array": (is_array, ours.kind.is_array),
            "null": (has(field.get("nullableVersions"), self.version), ours.is_nullable),
            "tag": (tag, ours.tag),
            "kind": (KINDS.get(type_name, "structure"), ours.kind.name),
        }
        if structure is not None:
            compared["structure"] = (OTHER_NAMES.get(path, type_name), structure.__name__)
        if ours.has_default:
            default = default_of(field, ours)
            is_null_here = path in NULL_INSTEAD_OF_EMPTY and default == ""
            compared["default"] = (None if is_null_here else default, ours.default)
        for what, (theirs, here) in compared.items():
            if theirs != here:
                yield f"{path} has {what} {theirs!r}, ours is {here!r}"
        if structure is not None:
            inner = field.get("fields") or self.structures[type_name]
            yield from self.differences(path, inner, structure)


def default_of(field: Schema, ours: FieldLayout) -> object:
    """What Kafka takes for a field that is not given, which the schema need not say."""
    said = field.get("default")
    if said == "null":
        return None
    if ours.kind.is_array:
        return []
    if ours.kind.structure is not None:
        return ours.kind.structure()
    if ours.kind.name == "?":
        return str(said).lower() == "true"
    if ours.kind.name in "bhHiq":
        return int(str(said or 0), 0)
    assert not said, f"{field['name']} has a default that is of no kind known here"
    return {"string": "", "bytes": b"", "records": None, "uuid": ZERO_UUID, "d": 0.0}[ours.kind.name]


@pytest.mark.parametrize("api", APIS.values(), ids=lambda api: api.name)
@pytest.mark.parametrize("kind", ["Request", "Response"])
def test_a_table_says_what_the_schema_says(schemas: Schemas, api: Api, kind: str) -> None:
    schema = schemas.of(f"{api.name}{kind}")
    message = api.request_type if kind == "Request" else api.response_type
    shared = {structure["name"]: structure["fields"] for structure in schema.get("commonStructs", ())}

    found = {
        f"version {version}: {difference}"
        for version in range(api.version_min, api.version_max + 1)
        for difference in Comparison(version, shared).differences(message.__name__, schema["fields"], message)
    }

    assert found == set()
    assert schema["apiKey"] == api.key
    assert message.__name__ == schema["name"]


@pytest.mark.parametrize("api", APIS.values(), ids=lambda api: api.name)
@pytest.mark.parametrize("kind", ["Request", "Response"])
def test_the_versions_are_those_that_kafka_offers(schemas: Schemas, api: Api, kind: str) -> None:
    schema = schemas.of(f"{api.name}{kind}")
    valid = Versions(schema["validVersions"])
    offered = {version for version in range(50) if version in valid and (api.name, version) not in UNSTABLE}

    assert {version for version in range(50) if api.serves(version)} == offered
    assert {version for version in offered if api.is_flexible(version)} == {
        version for version in offered if has(schema["flexibleVersions"], version)
    }
