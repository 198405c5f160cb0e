"""Kafka 4.3 and our broker answer the same, but for what is known (``make differential``)."""

from __future__ import annotations

from typing import Final

import pytest

from streamcore.log.protocol.apis import Api
from tests.differential.comparison import Difference, differences
from tests.differential.differences import KNOWN
from tests.differential.drawing import AUTO_CREATION, NOT_DRAWN, drawn_requests, unserved_versions
from tests.differential.known import Place
from tests.differential.registry import Scenario, all_scenarios, served_apis
from tests.differential.running import Brokers, transcripts

pytestmark = pytest.mark.differential

DRAWN: Final = [
    (api, version)
    for api in served_apis()
    for version in range(api.version_min, api.version_max + 1)
    if api.name not in NOT_DRAWN and not (api.name == "Metadata" and version in AUTO_CREATION)
]
CASES: Final = [(each, version) for each in all_scenarios() for version in each.versions]

_PLACES: Final = [place for known in KNOWN for place in known.places]
_seen: set[Place] = set()
_run: set[tuple[str, str, int]] = set()


def _name(value: object) -> str:
    match value:
        case Scenario():
            return f"{value.api}-{value.name}"
        case Api():
            return value.name
        case _:
            return f"v{value}"


def _unknown(found: list[Difference]) -> list[str]:
    """What of these differences is not meant; the others are noted as seen."""
    strange: list[str] = []
    for difference in found:
        places = [place for place in _PLACES if place.covers(difference)]
        _seen.update(places)
        if not places:
            strange.append(str(difference))
    return strange


@pytest.mark.parametrize(("scenario", "version"), CASES, ids=_name)
def test_both_brokers_answer_the_same(brokers: Brokers, scenario: Scenario, version: int) -> None:
    kafka, ours = transcripts(brokers, scenario.name, scenario.api, version, scenario.script)

    _run.add((scenario.name, scenario.api, version))
    strange = _unknown(differences(scenario.name, kafka, ours))
    assert not strange, "\n" + "\n".join(strange)


@pytest.mark.parametrize(("api", "version"), DRAWN, ids=_name)
def test_both_brokers_answer_drawn_requests_the_same(brokers: Brokers, api: Api, version: int) -> None:
    name = f"drawn_{api.name}"

    kafka, ours = transcripts(brokers, name, api.name, version, drawn_requests)

    _run.add(("drawn", api.name, version))
    strange = _unknown(differences(name, kafka, ours))
    assert not strange, "\n" + "\n".join(strange)


@pytest.mark.parametrize("api", served_apis(), ids=_name)
def test_both_brokers_close_the_connection_over_a_version_that_is_not_there(
    brokers: Brokers, api: Api
) -> None:
    kafka, ours = transcripts(brokers, "unserved_versions", api.name, api.version_max, unserved_versions)

    assert not _unknown(differences("unserved_versions", kafka, ours))


def test_every_known_difference_still_occurs() -> None:
    wanted = {(each.name, each.api, version) for each, version in CASES}
    if not _run >= wanted | {("drawn", api.name, version) for api, version in DRAWN}:
        pytest.skip("only some of the scenarios were run")
    gone = [place for place in _PLACES if place not in _seen]

    assert not gone, f"remove what no longer differs: {gone}"
