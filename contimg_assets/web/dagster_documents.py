"""What a GraphQL document asks of Dagster, and who may ask it.

Belongs here: reading documents that clients send, and the mutations that an operator may use.  Does not
belong here: documents that we send ourselves.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from graphql import (
    ExecutableDefinitionNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    parse,
)

from contimg_assets.web.problems import ProblemError
from contimg_assets.web.roles import Principal, Role

#: A document of Dagster's own pages has 3,000 at most.
MAX_TOKENS = 20_000
#: What an operator may have Dagster do: start, repeat and cancel work, add keys, switch and try sensors.
#: Every other mutation is an admin's, also one that a later Dagster brings: they remove records, change
#: limits, reload code.
OPERATOR_MUTATIONS = frozenset(
    {
        "addDynamicPartition",
        "cancelPartitionBackfill",
        "launchMultipleRuns",
        "launchPartitionBackfill",
        "launchPipelineExecution",
        "launchPipelineReexecution",
        "launchRun",
        "launchRunReexecution",
        "reexecutePartitionBackfill",
        "resumePartitionBackfill",
        "scheduleDryRun",
        "sensorDryRun",
        "startSensor",
        "stopSensor",
        "terminatePipelineExecution",
        "terminateRun",
        "terminateRuns",
    }
)


def mutations(document: object) -> tuple[str, ...]:
    """The mutations that a document asks for, in all of its operations.

    Parameters
    ----------
    document : object
        What was sent as a GraphQL document.

    Returns
    -------
    tuple
        Names of the fields, not their aliases; empty for queries and subscriptions.

    Raises
    ------
    ProblemError
        400 if it cannot be read, so that it is not known what it asks for.
    """
    if not isinstance(document, str):
        raise ProblemError(400, "there is no GraphQL document: expected text as `query`")
    try:
        definitions = parse(document, no_location=True, max_tokens=MAX_TOKENS).definitions
    except GraphQLError as error:
        raise ProblemError(400, f"the GraphQL document cannot be read: {error.message}") from error
    if not all(isinstance(definition, ExecutableDefinitionNode) for definition in definitions):
        raise ProblemError(400, "the GraphQL document holds more than operations and fragments")
    fragments = {d.name.value: d for d in definitions if isinstance(d, FragmentDefinitionNode)}
    found: dict[str, None] = {}
    for definition in definitions:
        mutates = OperationType.MUTATION
        if isinstance(definition, OperationDefinitionNode) and definition.operation is mutates:
            found |= dict.fromkeys(_fields(definition.selection_set, fragments, set()))
    return tuple(found)


def _fields(
    selection: SelectionSetNode, fragments: Mapping[str, FragmentDefinitionNode], seen: set[str]
) -> Iterator[str]:
    """Names of the fields of a selection, those that come through fragments too."""
    for node in selection.selections:
        if isinstance(node, FieldNode):
            yield node.name.value
        elif isinstance(node, InlineFragmentNode):
            yield from _fields(node.selection_set, fragments, seen)
        elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
            seen.add(node.name.value)
            if node.name.value not in fragments:
                raise ProblemError(400, f"the GraphQL document has no fragment {node.name.value!r}")
            yield from _fields(fragments[node.name.value].selection_set, fragments, seen)


def check_role(asked: tuple[str, ...], principal: Principal) -> None:
    """Refuse mutations that a principal's role does not include.

    Raises
    ------
    ProblemError
        403, naming them.
    """
    if not asked or principal.role is Role.ADMIN:
        return
    beyond = (
        asked if principal.role is Role.VIEWER else tuple(n for n in asked if n not in OPERATOR_MUTATIONS)
    )
    if beyond:
        raise ProblemError(
            403, f"{principal.name} is {principal.role}, which does not include {', '.join(beyond)}"
        )


def socket_may_pass(message: Any) -> bool:
    """Whether what came over Dagster's WebSocket may go on to it: subscriptions and queries, no mutation."""
    if not isinstance(message, dict):
        return False
    if message.get("type") != "start":
        return True
    payload = message.get("payload")
    try:
        return isinstance(payload, dict) and not mutations(payload.get("query"))
    except ProblemError:
        return False
