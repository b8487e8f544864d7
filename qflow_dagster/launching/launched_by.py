"""The tag that says who launched a run from Dagster's page: the actor whom the guard authenticated.

The server sets it, over whatever the request says. Runs launched in other ways (commands, schedules, sensors)
do not have it. Does not belong here: authentication (`web.access`).
"""

from collections.abc import Callable
from typing import Any, cast

from dagster._core.storage.tags import USER_TAG
from graphql import GraphQLObjectType, GraphQLResolveInfo, GraphQLSchema, default_field_resolver

Resolver = Callable[..., Any]

# Mutations that create runs or backfills. A test fails when a new version of Dagster brings another mutation.
LAUNCHES = {
    "launchRun",
    "launchPipelineExecution",
    "launchMultipleRuns",
    "launchRunReexecution",
    "launchPipelineReexecution",
    "launchPartitionBackfill",
    "reexecutePartitionBackfill",
}


def tag_launches(schema: GraphQLSchema) -> None:
    """Make the launching mutations of a schema tag what they create with the actor of the request."""
    fields = cast(GraphQLObjectType, schema.mutation_type).fields
    for name in LAUNCHES:
        fields[name].resolve = _tagging(fields[name].resolve or default_field_resolver)


def _tagging(resolve: Resolver) -> Resolver:
    def resolve_tagged(parent: object, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        actor = info.context.source.state.actor
        for execution in (arguments.get("executionParams"), *arguments.get("executionParamsList", ())):
            if execution:
                _set_tag(execution.setdefault("executionMetadata", {}), "tags", actor)
        if arguments.get("reexecutionParams"):
            _set_tag(arguments["reexecutionParams"], "extraTags", actor)
        if "backfillParams" in arguments:
            _set_tag(arguments["backfillParams"], "tags", actor)
        result = resolve(parent, info, **arguments)
        if info.field_name == "reexecutePartitionBackfill":
            _tag_backfill(info.context.instance, result, actor)
        return result

    return resolve_tagged


def _set_tag(parameters: dict[str, Any], name: str, actor: str) -> None:
    others = [tag for tag in parameters.get(name) or () if tag["key"] != USER_TAG]
    parameters[name] = [*others, {"key": USER_TAG, "value": actor}]


def _tag_backfill(instance: Any, result: Any, actor: str) -> None:
    """Replace the tag that a re-executed backfill copied from the first one: this mutation takes no tags."""
    backfill_id = getattr(result, "backfill_id", None)
    if backfill_id is not None:
        backfill = instance.get_backfill(backfill_id)
        instance.update_backfill(backfill._replace(tags={**backfill.tags, USER_TAG: actor}))
