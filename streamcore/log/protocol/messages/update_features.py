"""UpdateFeatures (key 57): raises or lowers the features of a cluster."""

from __future__ import annotations

from typing import Annotated as A

from streamcore.log.protocol.fields import Int8, Int16, Int32, Message, V


class FeatureUpdateKey(Message):
    feature: str
    max_version_level: Int16
    allow_downgrade: A[bool, V("0")] = False
    upgrade_type: A[Int8, V("1+")] = 1


class UpdateFeaturesRequest(Message):
    """The request."""

    timeout_ms: Int32 = 60_000
    feature_updates: list[FeatureUpdateKey]
    validate_only: A[bool, V("1+")] = False


class UpdatableFeatureResult(Message):
    feature: str
    error_code: Int16
    error_message: str | None


class UpdateFeaturesResponse(Message):
    """The response."""

    throttle_time_ms: Int32
    error_code: Int16
    error_message: str | None
    results: A[list[UpdatableFeatureResult], V("0-1")] = []
