"""Users: what is kept of a password, what an admin may ask, what a crash leaves."""

from __future__ import annotations

import pytest

from streamcore.errors import UsageError
from streamcore.log.broker.access.scram_credentials import (
    ITERATIONS,
    ITERATIONS_MAX,
    ITERATIONS_MIN,
    ScramMechanism,
)
from streamcore.log.broker.access.users import Alteration, CredentialDeletion, CredentialUpsertion
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.cluster_state import TOPIC
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.storage.files import read_whole
from tests.support.partition_fixture import ROOT
from tests.support.state_fixture import StatefulBroker

SHA_256, SHA_512 = ScramMechanism.SHA_256, ScramMechanism.SHA_512
SALT = b"0123456789abcdef"
SALTED = {SHA_256: b"p" * 32, SHA_512: b"p" * 64}


def upsertion(
    user: str,
    mechanism: ScramMechanism | None = SHA_256,
    *,
    iterations: int = ITERATIONS_MIN,
    salt: bytes = SALT,
    salted: bytes | None = None,
) -> CredentialUpsertion:
    salted = SALTED[mechanism or SHA_256] if salted is None else salted
    return CredentialUpsertion(user, mechanism, iterations, salt, salted)


def fates(place: StatefulBroker, *alterations: Alteration) -> dict[str, ErrorName | None]:
    found = place.run(place.broker.users.alter(alterations))
    return {user: None if refused is None else refused.refusal for user, refused in found.items()}


def fits(place: StatefulBroker, user: str, password: str) -> set[ScramMechanism]:
    credentials = place.broker.users.credentials(user)
    return {each for each, credential in credentials.items() if credential.fits(each, password)}


def test_a_password_fits_by_every_mechanism_also_after_a_crash() -> None:
    place = StatefulBroker()
    place.run(place.broker.users.set_password("alice/ä,=", "sécret"))

    place.crash()

    assert place.broker.users.names() == ["alice/ä,="]
    assert fits(place, "alice/ä,=", "sécret") == {SHA_256, SHA_512}
    assert fits(place, "alice/ä,=", "secret") == set()


def test_a_new_password_replaces_the_old_one() -> None:
    place = StatefulBroker()
    place.run(place.broker.users.set_password("alice", "old"))

    place.run(place.broker.users.set_password("alice", "new"))

    assert fits(place, "alice", "new") == {SHA_256, SHA_512}
    assert fits(place, "alice", "old") == set()


def test_equal_passwords_give_different_stored_keys() -> None:
    place = StatefulBroker()
    place.run(place.broker.users.set_password("alice", "same"))
    place.run(place.broker.users.set_password("bob", "same"))

    one, other = (place.broker.users.credentials(name)[SHA_256] for name in ("alice", "bob"))

    assert one.salt != other.salt
    assert one.stored_key != other.stored_key


def test_no_password_is_on_disk_and_no_key_in_what_is_printed() -> None:
    place = StatefulBroker()
    place.run(place.broker.users.set_password("alice", "very-secret-word"))
    credential = place.broker.users.credentials("alice")[SHA_256]

    folder = ROOT / f"{TOPIC}-0"
    stored = b"".join(read_whole(place.disk, folder / name) for name in place.disk.list_directory(folder))

    assert b"alice" in stored
    assert b"very-secret-word" not in stored
    assert repr(credential) == f"ScramCredential(iterations={ITERATIONS})"
    assert repr(SALTED[SHA_256]) not in repr(upsertion("alice"))


def test_a_deleted_user_is_gone_also_after_a_crash() -> None:
    place = StatefulBroker()
    place.run(place.broker.users.set_password("alice", "secret"))

    place.run(place.broker.users.delete("alice"))
    place.crash()

    assert place.broker.users.names() == []
    assert place.broker.users.credentials("alice") == {}
    with pytest.raises(UsageError, match=r"no resource of this name.*user=alice"):
        place.run(place.broker.users.delete("alice"))


@pytest.mark.parametrize(("name", "password"), [("", "secret"), ("alice", ""), ("a" * 1_025, "secret")])
def test_names_and_passwords_are_not_empty_and_names_not_endless(name: str, password: str) -> None:
    place = StatefulBroker()

    with pytest.raises(UsageError, match="UNACCEPTABLE_CREDENTIAL"):
        place.run(place.broker.users.set_password(name, password))

    assert place.broker.users.names() == []


def test_an_admin_sets_and_deletes_one_mechanism_at_a_time() -> None:
    place = StatefulBroker()

    first = fates(place, upsertion("alice", SHA_256), upsertion("bob", SHA_512, iterations=ITERATIONS_MAX))
    second = fates(place, upsertion("alice", SHA_512), CredentialDeletion("bob", SHA_512))
    third = fates(place, CredentialDeletion("alice", SHA_256))

    assert first == second == {"alice": None, "bob": None}
    assert third == {"alice": None}
    assert list(place.broker.users.credentials("alice")) == [SHA_512]
    assert place.broker.users.names() == ["alice"]


@pytest.mark.parametrize(
    ("alteration", "refusal"),
    [
        (upsertion("new", iterations=ITERATIONS_MIN - 1), ErrorName.UNACCEPTABLE_CREDENTIAL),
        (upsertion("new", iterations=ITERATIONS_MAX + 1), ErrorName.UNACCEPTABLE_CREDENTIAL),
        (upsertion("new", iterations=-1), ErrorName.UNACCEPTABLE_CREDENTIAL),
        (upsertion("new", salt=b""), ErrorName.UNACCEPTABLE_CREDENTIAL),
        (upsertion("new", salt=b"s" * 257), ErrorName.UNACCEPTABLE_CREDENTIAL),
        (upsertion("new", salted=b""), ErrorName.UNACCEPTABLE_CREDENTIAL),
        (upsertion("new", SHA_512, salted=b"p" * 32), ErrorName.UNACCEPTABLE_CREDENTIAL),
        (upsertion(""), ErrorName.UNACCEPTABLE_CREDENTIAL),
        (upsertion("new", None), ErrorName.UNSUPPORTED_SASL_MECHANISM),
        (CredentialDeletion("", SHA_256), ErrorName.UNACCEPTABLE_CREDENTIAL),
        (CredentialDeletion("new", None), ErrorName.UNSUPPORTED_SASL_MECHANISM),
        (CredentialDeletion("new", SHA_256), ErrorName.RESOURCE_NOT_FOUND),
        (CredentialDeletion("old", SHA_512), ErrorName.RESOURCE_NOT_FOUND),
    ],
)
def test_a_refused_change_changes_nothing_and_does_not_affect_the_others(
    alteration: Alteration, refusal: ErrorName
) -> None:
    place = StatefulBroker()
    fates(place, upsertion("old"))

    found = fates(place, alteration, upsertion("good"))

    assert found == {alteration.user: refusal, "good": None}
    assert place.broker.users.names() == ["good", "old"]
    assert list(place.broker.users.credentials("old")) == [SHA_256]


@pytest.mark.parametrize(
    "second",
    [
        upsertion("alice"),
        upsertion("alice", SHA_512),
        upsertion("alice", None),
        CredentialDeletion("alice", SHA_256),
    ],
)
def test_a_user_is_altered_once_in_a_request(second: Alteration) -> None:
    place = StatefulBroker()

    found = fates(place, upsertion("alice"), second, upsertion("bob"))

    assert found == {"alice": ErrorName.DUPLICATE_RESOURCE, "bob": None}
    assert place.broker.users.names() == ["bob"]


def test_the_first_error_of_a_users_alterations_is_answered() -> None:
    place = StatefulBroker()
    unknown_mechanism, none_there = upsertion("alice", None), CredentialDeletion("bob", SHA_256)

    found = fates(place, unknown_mechanism, upsertion("alice"), none_there, upsertion("bob"))

    assert found == {
        "alice": ErrorName.UNSUPPORTED_SASL_MECHANISM,
        "bob": ErrorName.RESOURCE_NOT_FOUND,
    }
    assert place.broker.users.names() == []


def test_there_are_only_so_many_users() -> None:
    place = StatefulBroker(BrokerSettings(user_count_max=2))

    found = fates(place, upsertion("a"), upsertion("b"), upsertion("c"))
    again = fates(place, upsertion("a", SHA_512))

    assert found == {"a": None, "b": None, "c": ErrorName.POLICY_VIOLATION}
    assert again == {"a": None}
    with pytest.raises(UsageError, match="user_count_max=2"):
        place.run(place.broker.users.set_password("c", "secret"))


def test_a_decoy_stays_the_same_over_restarts_and_looks_like_a_user() -> None:
    place = StatefulBroker()
    fates(place, upsertion("alice", iterations=5_000))
    decoy = place.broker.users.decoy("nobody", SHA_256)

    place.crash()

    assert place.broker.users.decoy("nobody", SHA_256) == decoy
    assert place.broker.users.decoy("nobody-else", SHA_256).salt != decoy.salt
    assert decoy.iterations == 5_000
    assert len(decoy.salt) == 32
    assert not decoy.fits(SHA_256, "")


def test_a_log_without_user_changes_has_no_topic_for_users() -> None:
    place = StatefulBroker()

    place.broker.users.decoy("nobody", SHA_256)
    with pytest.raises(ApiError):
        next(place.broker.users.delete("nobody"))

    assert TOPIC not in place.broker.topics
