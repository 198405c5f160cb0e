"""ApiVersions: the APIs and versions that are served; the first request of every connection.

Features say more than versions: with ``transaction.version`` 2 a client ends each transaction with a new
epoch (KIP-890); with ``group.version`` 1 it may use the consumer group protocol (KIP-848).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from streamcore.log.api.calls import Call
from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.api.handlers.features import FEATURES
from streamcore.log.api.handlers.table import HANDLERS
from streamcore.log.protocol.apis import API_VERSIONS, APIS, PRODUCE, PRODUCE_ADVERTISED_MIN
from streamcore.log.protocol.messages.api_versions import (
    ApiVersion,
    ApiVersionsRequest,
    ApiVersionsResponse,
    FinalizedFeatureKey,
    SupportedFeatureKey,
)

_SOFTWARE: Final = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?")
_NAMED_FROM: Final = 3
_MIN_ZERO_FROM: Final = 4
"""Clients with an earlier version do not understand a feature whose lowest level is 0."""
_FEATURES_EPOCH: Final = 0
"""Features do not change while a broker runs; clients ignore epochs below 0."""


def api_versions(request: ApiVersionsRequest, call: Call) -> ApiVersionsResponse:
    """Return all APIs and versions that are served."""
    if call.version >= _NAMED_FROM and not (
        _SOFTWARE.fullmatch(request.client_software_name)
        and _SOFTWARE.fullmatch(request.client_software_version)
    ):
        return ApiVersionsResponse(error_code=ErrorCode.INVALID_REQUEST, api_keys=[])
    return ApiVersionsResponse(
        error_code=ErrorCode.NONE,
        api_keys=_served(),
        supported_features=[
            SupportedFeatureKey(name=each.name, min_version=each.version_min, max_version=each.level)
            for each in FEATURES
            if each.version_min > 0 or call.version >= _MIN_ZERO_FROM
        ],
        finalized_features_epoch=_FEATURES_EPOCH,
        finalized_features=[
            FinalizedFeatureKey(name=each.name, max_version_level=each.level, min_version_level=each.level)
            for each in FEATURES
        ],
    )


def unsupported_version() -> ApiVersionsResponse:
    """Return the answer to a version that is not served: in version 0, with the served versions."""
    rows = [row for row in _served() if row.api_key == API_VERSIONS.key]
    return ApiVersionsResponse(error_code=ErrorCode.UNSUPPORTED_VERSION, api_keys=rows)


@cache
def _served() -> list[ApiVersion]:
    return [
        ApiVersion(
            api_key=api.key,
            min_version=PRODUCE_ADVERTISED_MIN if api is PRODUCE else api.version_min,
            max_version=api.version_max,
        )
        for api in APIS.values()
        if api.key in HANDLERS
    ]
