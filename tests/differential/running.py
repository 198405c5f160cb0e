"""Runs a scenario at both brokers side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.differential.conversation import Conversation, ConversationOverError, Step

Script = Callable[[Conversation], None]


@dataclass(frozen=True, slots=True)
class Brokers:
    """Where both are, what counts as the present, and what runs them side by side."""

    kafka: str
    ours: str
    now_ms: int
    pool: ThreadPoolExecutor


def transcripts(
    brokers: Brokers, scenario: str, api: str, version: int, script: Script
) -> tuple[list[Step], list[Step]]:
    """What Kafka answers in a scenario, and what we answer."""

    def run(address: str) -> list[Step]:
        talk = Conversation(address, scenario, api, version, brokers.now_ms)
        try:
            script(talk)
        except ConversationOverError:
            pass
        except Exception as error:  # noqa: BLE001 - an answer was not what the scenario goes on with
            talk.note("the scenario cannot go on", f"{type(error).__name__}: {error}")
        finally:
            talk.close()
        return talk.steps

    kafka = brokers.pool.submit(run, brokers.kafka)
    ours = brokers.pool.submit(run, brokers.ours)
    return kafka.result(), ours.result()
