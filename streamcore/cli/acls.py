"""``streamcore acls``: list, add and delete the access rules of a log that is served.

The options follow Kafka's own tool: a rule names a principal, an operation and a resource. ``--producer``
and ``--consumer`` stand for the operations that such a client needs.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from streamcore.cli.options import (
    json_option,
    log_options,
    open_log,
)
from streamcore.cli.output import print_note, print_rows
from streamcore.errors import UsageError, with_facts

if TYPE_CHECKING:
    from streamcore.log.broker.access.acl import (
        AccessRule,
        AccessRuleFilter,
        AclOperation,
        PatternType,
        ResourcePattern,
        ResourceType,
    )


@click.group("acls")
def acls() -> None:
    """Access rules: who may do what, once streamcore serve --authorize."""


principal_argument = click.argument("principals", metavar="PRINCIPAL…", nargs=-1, required=True)
principal_option = click.option("--principal", metavar="User:NAME", help="Only rules about this one.")
operation_option = click.option(
    "--operation",
    multiple=True,
    metavar="NAME,NAME",
    help="all, read, write, create, delete, alter, describe, alter_configs, describe_configs, …",
)
topic_option = click.option("--topic", multiple=True, help="A topic, repeatable; * is all.")
group_option = click.option("--group", multiple=True, help="A group, repeatable; * is all.")
transactional_id_option = click.option(
    "--transactional-id", multiple=True, help="A transactional id, repeatable."
)
cluster_option = click.option("--cluster", is_flag=True, help="The cluster itself.")
prefixed_option = click.option("--prefixed", is_flag=True, help="Names stand for all that begin with them.")
host_option = click.option("--host", multiple=True, help="From this address alone, repeatable.")
deny_option = click.option("--deny", is_flag=True, help="Deny it; this wins over what is allowed.")
producer_option = click.option(
    "--producer", is_flag=True, help="What producers to the topics, by the transactional ids, need."
)
consumer_option = click.option(
    "--consumer", is_flag=True, help="What consumers of the topics, in the groups, need."
)


def register(group: click.Group) -> None:
    """Add the group of commands."""
    group.add_command(acls)


@acls.command("list")
@principal_option
@topic_option
@group_option
@transactional_id_option
@cluster_option
@log_options
@json_option
def list_rules(
    principal: str | None,
    topic: tuple[str, ...],
    group: tuple[str, ...],
    transactional_id: tuple[str, ...],
    cluster: bool,
    data: Path,
    broker: str | None,
    command_config: Path | None,
    as_json: bool,
) -> None:
    """List rules: all, or those that apply to the given resources, with those for all names and for
    prefixes.
    """
    from streamcore.log.broker.access.acl import AccessRuleFilter, PatternType

    who = None if principal is None else _principal(principal)
    asked = list(_resources(topic, group, transactional_id, cluster, PatternType.MATCH))
    filters = [
        AccessRuleFilter(type=each.type, name=each.name, pattern=PatternType.MATCH, principal=who)
        for each in asked
    ] or [AccessRuleFilter(principal=who)]
    with open_log(data, broker, command_config) as log:
        found = sorted({rule for wanted in filters for rule in log.access.rules(wanted)})
    _print_rules(found, as_json, empty="no rules")


@acls.command("add")
@principal_argument
@operation_option
@topic_option
@group_option
@transactional_id_option
@cluster_option
@prefixed_option
@host_option
@deny_option
@producer_option
@consumer_option
@log_options
@json_option
def add_rules(
    principals: tuple[str, ...],
    operation: tuple[str, ...],
    topic: tuple[str, ...],
    group: tuple[str, ...],
    transactional_id: tuple[str, ...],
    cluster: bool,
    prefixed: bool,
    host: tuple[str, ...],
    deny: bool,
    producer: bool,
    consumer: bool,
    data: Path,
    broker: str | None,
    command_config: Path | None,
    as_json: bool,
) -> None:
    """Allow operations to principals, or deny them.

    A PRINCIPAL is User:NAME, or NAME alone; User:* is every user.
    """
    from streamcore.log.broker.access.acl import ANYWHERE, AccessRule, PatternType, Permission

    pattern = PatternType.PREFIXED if prefixed else PatternType.LITERAL
    resources = list(_resources(topic, group, transactional_id, cluster, pattern))
    rules = [
        AccessRule(resource, _principal(who), address, what, Permission.DENY if deny else Permission.ALLOW)
        for resource, what in _wanted(resources, operation, producer=producer, consumer=consumer)
        for who in principals
        for address in map(_host, host or [ANYWHERE])
    ]
    with open_log(data, broker, command_config, create=True) as log:
        log.access.add_rules(rules)
    _print_rules(rules, as_json, empty="")


@acls.command("delete")
@principal_option
@operation_option
@topic_option
@group_option
@transactional_id_option
@cluster_option
@prefixed_option
@click.option("--all", "every", is_flag=True, help="Every rule there is.")
@log_options
@json_option
def delete_rules(
    principal: str | None,
    operation: tuple[str, ...],
    topic: tuple[str, ...],
    group: tuple[str, ...],
    transactional_id: tuple[str, ...],
    cluster: bool,
    prefixed: bool,
    every: bool,
    data: Path,
    broker: str | None,
    command_config: Path | None,
    as_json: bool,
) -> None:
    """Delete the rules that match everything that is given, and print them."""
    from streamcore.log.broker.access.acl import PatternType

    pattern = PatternType.PREFIXED if prefixed else PatternType.LITERAL
    resources = list(_resources(topic, group, transactional_id, cluster, pattern))
    if every == bool(principal or operation or resources):
        raise UsageError("say which rules: by --principal, --operation or a resource; or --all of them")
    with open_log(data, broker, command_config) as log:
        deleted = log.access.delete_rules(_filters(principal, operation, resources))
    _print_rules(deleted, as_json, empty="no such rules")
    if not as_json:
        print_note(f"deleted {len(deleted)}")


def _filters(
    principal: str | None, operations: Sequence[str], resources: Sequence[ResourcePattern]
) -> list[AccessRuleFilter]:
    from streamcore.log.broker.access.acl import AccessRuleFilter, AclOperation

    who = None if principal is None else _principal(principal)
    found: list[AccessRuleFilter] = []
    for what in _operations(operations) or [AclOperation.ANY]:
        found += [
            AccessRuleFilter(
                type=each.type, name=each.name, pattern=each.pattern, principal=who, operation=what
            )
            for each in resources
        ] or [AccessRuleFilter(principal=who, operation=what)]
    return found


def _wanted(
    resources: Sequence[ResourcePattern], operations: Sequence[str], *, producer: bool, consumer: bool
) -> Iterator[tuple[ResourcePattern, AclOperation]]:
    """Return the resources that the options name, with the operations of their rules."""
    from streamcore.log.broker.access.acl import AclOperation, ResourceType

    O = AclOperation  # noqa: E741 - as in Kafka's tables
    if not (producer or consumer):
        named = _operations(operations)
        if not resources or not named:
            raise UsageError(
                "a rule is about an --operation on a resource, --topic, --group, --transactional-id or "
                "--cluster; or say --producer or --consumer"
            )
        yield from ((resource, what) for resource in resources for what in named)
        return
    if operations:
        raise UsageError("--producer and --consumer stand for their operations: leave --operation out")
    needs: dict[ResourceType, list[AclOperation]] = {}
    if producer:
        needs[ResourceType.TOPIC] = [O.WRITE, O.DESCRIBE, O.CREATE]
        needs[ResourceType.TRANSACTIONAL_ID] = [O.WRITE, O.DESCRIBE]
    if consumer:
        needs[ResourceType.TOPIC] = [*needs.get(ResourceType.TOPIC, []), O.READ, O.DESCRIBE]
        needs[ResourceType.GROUP] = [O.READ]
    kinds = {resource.type for resource in resources}
    missing = {ResourceType.TOPIC, *({ResourceType.GROUP} if consumer else ())} - kinds
    if missing or kinds - needs.keys():
        raise UsageError(
            with_facts(
                "--producer is about --topic and --transactional-id, --consumer about --topic and --group",
                given=",".join(sorted(kind.name.lower() for kind in kinds)) or "none",
            )
        )
    for resource in resources:
        yield from ((resource, what) for what in dict.fromkeys(needs[resource.type]))


def _resources(
    topics: Sequence[str],
    groups: Sequence[str],
    transactional_ids: Sequence[str],
    cluster: bool,
    pattern: PatternType,
) -> Iterator[ResourcePattern]:
    from streamcore.log.broker.access.acl import CLUSTER_NAME, PatternType, ResourcePattern, ResourceType

    for kind, names in (
        (ResourceType.TOPIC, topics),
        (ResourceType.GROUP, groups),
        (ResourceType.TRANSACTIONAL_ID, transactional_ids),
    ):
        yield from (ResourcePattern(kind, name, pattern) for name in names)
    if cluster:
        literal = PatternType.LITERAL if pattern is PatternType.PREFIXED else pattern
        yield ResourcePattern(ResourceType.CLUSTER, CLUSTER_NAME, literal)


def _operations(given: Sequence[str]) -> list[AclOperation]:
    from streamcore.log.broker.access.acl import AclOperation

    names = [name.strip() for text in given for name in text.split(",")]
    found: list[AclOperation] = []
    for name in names:
        operation = AclOperation.__members__.get(name.upper().replace("-", "_"))
        if operation is None or operation is AclOperation.ANY:
            known = ", ".join(each.name.lower() for each in AclOperation if each is not AclOperation.ANY)
            raise UsageError(with_facts(f"an operation is one of {known}", given=name))
        found.append(operation)
    return found


def _principal(given: str) -> str:
    """Parse a principal; a name without a type, such as that of a certificate, is a user's."""
    return given if re.match(r"\w+:", given) else f"User:{given}"


def _host(given: str) -> str:
    from streamcore.log.broker.access.acl import ANYWHERE

    try:
        return given if given == ANYWHERE else str(ipaddress.ip_address(given))
    except ValueError:
        raise UsageError(with_facts("a host is an IP address, not a name", given=given)) from None


def _print_rules(rules: Sequence[AccessRule], as_json: bool, *, empty: str) -> None:
    print_rows(
        (
            {
                "principal": rule.principal,
                "permission": rule.permission.name.lower(),
                "operation": rule.operation.name.lower(),
                "resource": rule.resource.type.name.lower(),
                "name": rule.resource.name,
                "pattern": rule.resource.pattern.name.lower(),
                "host": rule.host,
            }
            for rule in rules
        ),
        as_json,
        empty=empty,
    )
