"""Getting into a broker: TLS, passwords, rights; and giving them to others, by the public log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.errors import UsageError
from streamcore.log.broker.access.acl import (
    ANYWHERE,
    AccessRule,
    AccessRuleFilter,
    AclOperation,
    Permission,
    ResourcePattern,
    ResourceType,
)
from streamcore.log.connect import connect
from streamcore.log.serving import ServedLog
from tests.support.certificates import Authority

ADMIN_PASSWORD = 'a "quoted" one'


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def served(ca: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedLog]:
    data = tmp_path_factory.mktemp("served")
    signed = ca.sign("server", "/CN=localhost")
    with sc.connect(data) as log:
        log.access.set_password("admin", ADMIN_PASSWORD)
        log.access.set_password("ann", "secret")
    security = sc.Security(
        tls=sc.Tls(certificate=signed.certificate, key=signed.key),
        authorize=True,
        super_users=["User:admin"],
    )
    with sc.serve(data, listen="sasl_ssl://127.0.0.1:0", security=security) as found:
        yield found


def login(ca: Authority, user: str, password: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": mechanism,
        "sasl.username": user,
        "sasl.password": password,
        "ssl.ca.location": str(ca.certificate),
    }


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_user_gets_in_by_each_mechanism_over_tls(ca: Authority, served: ServedLog, mechanism: str) -> None:
    with connect(served.address, security=login(ca, "admin", ADMIN_PASSWORD, mechanism)) as log:
        assert "nothing" not in log.topics()


def test_a_login_in_kafkas_own_form_is_understood(ca: Authority, served: ServedLog) -> None:
    security = {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required "
        'username="admin" password="a \\"quoted\\" one";',
        "ssl.truststore.location": str(ca.certificate),
        "ssl.truststore.type": "PEM",
    }

    with connect(served.address, security=security) as log:
        assert "admin" in log.access.users()


def test_a_wrong_password_raises_an_error_at_once(ca: Authority, served: ServedLog) -> None:
    with pytest.raises(UsageError, match="check user, password"):
        connect(served.address, security=login(ca, "admin", "wrong"))


def test_a_server_certificate_without_a_trusted_ca_is_refused(
    served: ServedLog, ca: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "other")

    with pytest.raises(UsageError, match="certificate"):
        connect(served.address, security=login(other, "admin", ADMIN_PASSWORD))


def test_a_request_without_the_right_is_refused_until_a_rule_allows_it(
    ca: Authority, served: ServedLog
) -> None:
    orders = ResourcePattern(ResourceType.TOPIC, "orders")
    rule = AccessRule(orders, "User:ann", ANYWHERE, AclOperation.DESCRIBE, Permission.ALLOW)
    served.log.create_topic("orders")
    with (
        connect(served.address, security=login(ca, "admin", ADMIN_PASSWORD)) as admin,
        connect(served.address, security=login(ca, "ann", "secret")) as ann,
    ):
        with pytest.raises(UsageError, match="does not allow"):
            ann.topics().get("orders")
        admin.access.add_rules([rule])
        listed = admin.access.rules(AccessRuleFilter(principal="User:ann"))
        described = ann.topics().get("orders")
        deleted = admin.access.delete_rules([AccessRuleFilter(name="orders")])

    assert described is not None
    assert described.partition_count == 1
    assert listed == deleted == [rule]


def test_users_are_added_listed_and_deleted_over_the_network(ca: Authority, served: ServedLog) -> None:
    with connect(served.address, security=login(ca, "admin", ADMIN_PASSWORD)) as log:
        log.access.set_password("bob", "b")
        with connect(served.address, security=login(ca, "bob", "b")):
            pass
        users = dict(log.access.users())
        log.access.delete_user("bob")
        with pytest.raises(UsageError, match="the user does not exist"):
            log.access.delete_user("bob")

    assert users["bob"] == users["admin"] == {"SCRAM-SHA-256": 8192, "SCRAM-SHA-512": 8192}
    with pytest.raises(UsageError, match="check user, password"):
        connect(served.address, security=login(ca, "bob", "b"))
