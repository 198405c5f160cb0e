"""ApiVersions (key 18): returns the APIs and versions that a broker serves."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int16, Int32, Int64, Message, Tag, V


class ApiVersionsRequest(Message):
    """The request."""

    client_software_name: A[str, V("3+")] = ""
    client_software_version: A[str, V("3+")] = ""


class ApiVersion(Message):
    api_key: Int16
    min_version: Int16
    max_version: Int16


class SupportedFeatureKey(Message):
    name: str
    min_version: Int16
    max_version: Int16


class FinalizedFeatureKey(Message):
    name: str
    max_version_level: Int16
    min_version_level: Int16


class ApiVersionsResponse(Message):
    """The response."""

    error_code: Int16
    api_keys: list[ApiVersion]
    throttle_time_ms: A[Int32, V("1+")] = 0
    supported_features: A[list[SupportedFeatureKey], Tag(0, "3+")] = []
    finalized_features_epoch: A[Int64, Tag(1, "3+")] = -1
    finalized_features: A[list[FinalizedFeatureKey], Tag(2, "3+")] = []
    zk_migration_ready: A[bool, Tag(3, "3+")] = False
