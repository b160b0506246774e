"""Carrying out a run, step after step, from wherever it had come to."""

import json
import time
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from apps.agents import claims
from apps.agents.actions.contracts import Action, Effect
from apps.agents.actions.registry import action
from apps.agents.claims import Hold
from apps.agents.context import StepContext, acting
from apps.agents.principal import Principal, principal_of
from apps.agents.statuses import StepStatus
from apps.agents.templates import as_text, render
from apps.agents.validation import sentence_of
from apps.base.errors import CommonplaceError, NotFound, ValidationFailed
from apps.base.timestamps import rfc3339
from apps.knowledge.models import File
from apps.orgs.roles import Ability

MAX_OUTPUT_CHARS = 100_000  # of one step; the whole is kept in a document, where one is written
SLICE_SECONDS = 300.0  # then it is another run's turn


class OutcomeUnknown(CommonplaceError):
    code = "outcome_unknown"
    default_message = (
        "The worker stopped while this step was carried out, and it is not known whether it was. It is not one to "
        "repeat blindly: retry the run to do it again."
    )


class StepFailed(Exception):
    """The step ``number`` of the run ended with ``error``; None: before any step."""

    def __init__(self, error: Exception, number: int | None, *, may_be_repeated: bool = True) -> None:
        self.error = error
        self.number = number
        self.may_be_repeated = may_be_repeated
        super().__init__(str(error))


def carry_out(hold: Hold, *, is_stopping: Callable[[], bool]) -> None:
    """Take the steps that are left, in the scope of the run's organization; leave it SUCCEEDED, or given back when it
    is time to stop, or another run's turn.

    Raises HoldLost, and StepFailed: what is made of that the caller decides.
    """
    ends = time.monotonic() + SLICE_SECONDS
    for number, step in enumerate(hold.run.steps):
        if step["status"] == StepStatus.SUCCEEDED:
            continue
        if is_stopping() or time.monotonic() > ends:
            claims.release(hold)
            return
        try:
            principal = principal_of(hold.run)  # as they are by now
        except CommonplaceError as error:
            raise StepFailed(error, None) from error
        _take(StepContext(hold, number, principal))
    last = hold.run.steps[-1]["output"] if hold.run.steps else None
    claims.succeed(hold, output=as_text(last))


def _take(context: StepContext) -> None:
    step = context.run.steps[context.number]
    effect = Effect.REPEATABLE  # until it begins, nothing has happened
    try:
        chosen = action(step["kind"])
        rendered = render(step["parameters"], _variables(context))
        parameters = _validated(chosen, rendered)
        if step["status"] == StepStatus.RUNNING and chosen.effect_of(parameters) is Effect.ONCE:
            raise OutcomeUnknown
        claims.begin_step(context.hold, context.number, input=_storable(chosen.masked(rendered)))
        effect = chosen.effect_of(parameters)
        if effect is Effect.ROWS:
            with claims.held(context.hold) as run, acting(run):
                claims.end_step(run, context.number, output=_output(chosen.perform(parameters, context)))
        else:
            with acting(context.run):
                output = chosen.perform(parameters, context)
            with claims.held(context.hold) as run:
                claims.end_step(run, context.number, output=_output(output))
    except claims.HoldLost:
        raise
    except Exception as error:
        raise StepFailed(error, context.number, may_be_repeated=effect is not Effect.ONCE) from error


def _validated(chosen: Action[Any], rendered: Any) -> Any:
    """Raises ValidationFailed."""
    try:
        return chosen.parameters.model_validate(rendered)
    except ValidationError as error:
        raise ValidationFailed(sentence_of(error)) from error


def _variables(context: StepContext) -> dict[str, Any]:
    """What templates can name, as it is now."""
    run = context.run
    done = {
        step["name"]: {"output": step["output"], "input": step["input"]}
        for step in run.steps[: context.number]
        if step["status"] == StepStatus.SUCCEEDED
    }
    return {
        "steps": done,
        "input": run.input,
        "prompt": run.prompt,
        "file": _told_file(context.principal, run.file_id),
        "run": {"runId": run.pk, "etlId": run.etl_id, "agentId": run.agent_id, "actionChainId": run.chain_id},
    }


def _told_file(principal: Principal, file_id: str) -> dict[str, Any] | None:
    """Null for a run without a file, or without the right to read it, and for one that is gone: a template that names
    it then fails, and says so. Raises NotShared."""
    if not file_id or Ability.FILES_READ not in principal.abilities:
        return None
    try:
        file: File = principal.file(file_id)
    except NotFound:
        return None
    return {
        "fileId": file.pk,
        "knowledgeBaseId": file.knowledge_base_id,
        "fileName": file.file_name,
        "contentType": file.content_type,
        "status": file.status,
        "sizeBytes": file.size_bytes,
        "pageCount": file.page_count,
        "chunkCount": file.chunk_count,
        "tags": file.tags,
        "metadata": file.metadata,
        "externalFileUrl": file.external_file_url,
        "creatorUserId": file.creator_id,
        "createdAt": rfc3339(file.created_at),
    }


def _output(value: Any) -> Any:
    """As it is kept: what is very long is cut, and then it is text."""
    stored = _storable(value)
    text = stored if isinstance(stored, str) else json.dumps(stored, ensure_ascii=False)
    return stored if len(text) <= MAX_OUTPUT_CHARS else text[:MAX_OUTPUT_CHARS]


def _storable(value: Any) -> Any:
    """Without NUL, which PostgreSQL refuses, and half characters, which UTF-8 can't hold."""
    match value:
        case str():
            return value.replace("\x00", "").encode("utf-8", "replace").decode()
        case list():
            return [_storable(item) for item in value]
        case dict():
            return {_storable(str(key)): _storable(item) for key, item in value.items()}
    return value
