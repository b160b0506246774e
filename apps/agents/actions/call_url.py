"""A step that calls a URL."""

import json
from typing import Annotated, Any, Literal

from django.conf import settings
from pydantic import BaseModel, Field, StringConstraints

from apps.agents.actions.contracts import Action, Effect
from apps.agents.context import StepContext
from apps.agents.masking import masked_address, masked_values
from apps.agents.templates import as_text
from apps.base.errors import CommonplaceError
from apps.base.outbound import Answer, HostUnreachable, check_url, fetch

MAX_TOLD_CHARS = 200
_REPEATABLE = {"GET", "HEAD", "PUT", "DELETE"}
_OVERLOADED = {408, 425, 429, 500, 502, 503, 504}


class CallFailed(CommonplaceError):
    code = "call_failed"
    http_status = 502


class Call(BaseModel):
    url: str = Field(max_length=2000, description="http or https, on the public internet.")
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: dict[Annotated[str, StringConstraints(max_length=100)], str] = Field(
        default_factory=dict,
        max_length=30,
        description="What is named like a secret (Authorization, X-Api-Key) is told to those who may change "
        "the chain only, as are such keys of the body and the URL's query.",
    )
    body: str | dict[str, Any] | list[Any] | None = Field(
        default=None, description="Text, or an object or list that is sent as JSON."
    )
    isRepeatable: bool | None = Field(
        default=None,
        description="Whether the call may be made again when it is not known if it was made. Left out: GET, HEAD, PUT "
        "and DELETE may. Each call carries an Idempotency-Key, the same when it is made again.",
    )


class CallUrl(Action[Call]):
    parameters = Call
    effect = Effect.ONCE

    def effect_of(self, parameters: Call) -> Effect:
        may = parameters.method in _REPEATABLE if parameters.isRepeatable is None else parameters.isRepeatable
        return Effect.REPEATABLE if may else Effect.ONCE

    def check(self, parameters: Call) -> None:
        if "{{" not in parameters.url:
            check_url(parameters.url)

    def masked(self, parameters: dict[str, Any]) -> dict[str, Any]:
        hidden = {name: masked_values(parameters[name]) for name in ("headers", "body") if name in parameters}
        return parameters | hidden | {"url": masked_address(parameters.get("url", ""))}

    def perform(self, parameters: Call, context: StepContext) -> dict[str, Any]:
        body, content_type = b"", ""
        if isinstance(parameters.body, str):
            body, content_type = parameters.body.encode(), "text/plain; charset=utf-8"
        elif parameters.body is not None:
            body, content_type = json.dumps(parameters.body, ensure_ascii=False).encode(), "application/json"
        given = {"Idempotency-Key": context.step_key} | ({"Content-Type": content_type} if body else {})
        named = {name.lower() for name in parameters.headers}
        headers = {name: value for name, value in given.items() if name.lower() not in named}
        answer = fetch(
            parameters.method,
            parameters.url,
            headers=headers | parameters.headers,
            body=body,
            timeout_seconds=settings.CALL_URL_TIMEOUT_SECONDS,
            max_bytes=settings.CALL_URL_MAX_BYTES,
        )
        if answer.status >= 400:
            is_repeatable = self.effect_of(parameters) is Effect.REPEATABLE
            raise refusal_of(answer, parameters.url, is_repeatable=is_repeatable)
        return {
            "status": answer.status,
            "body": _read(answer.body, answer.headers.get("content-type", "")),
        }


def refusal_of(answer: Answer, url: str, *, is_repeatable: bool) -> CommonplaceError:
    """What to raise for an answer of 400 and above: HostUnreachable, to be tried again, or CallFailed."""
    told = as_text(_read(answer.body, answer.headers.get("content-type", "")))[:MAX_TOLD_CHARS]
    message = f"{masked_address(url)} answered {answer.status}: {told}"
    is_passing = answer.status in _OVERLOADED and is_repeatable
    return HostUnreachable(message) if is_passing else CallFailed(message)


def _read(body: bytes, content_type: str) -> Any:
    """JSON as it is, anything else as text."""
    kind, _, options = content_type.partition(";")
    if kind.strip().lower().endswith("json"):
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            pass
    charset = options.partition("charset=")[2].strip().strip('"') or "utf-8"
    try:
        return body.decode(charset, errors="replace")
    except LookupError:
        return body.decode(errors="replace")
