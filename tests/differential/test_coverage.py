"""Every request that we answer stands in scenarios, in each of its versions."""

from __future__ import annotations

import pytest

from streamcore.log.protocol.apis import Api
from tests.differential.registry import Kind, all_scenarios, served_apis


@pytest.mark.parametrize("kind", ["valid", "invalid"])
@pytest.mark.parametrize("api", served_apis(), ids=lambda api: api.name)
def test_each_version_of_an_api_has_a_scenario_of_what_is_answered_and_of_what_is_refused(
    api: Api, kind: Kind
) -> None:
    scenarios = [each for each in all_scenarios() if (each.api, each.kind) == (api.name, kind)]

    covered = {version for each in scenarios for version in each.versions}

    assert covered == set(range(api.version_min, api.version_max + 1))


def test_scenarios_of_an_api_have_names_of_their_own() -> None:
    names = [(each.api, each.kind, each.name) for each in all_scenarios()]

    assert len(names) == len(set(names))
