"""One question to a language model, paid for by an organization."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings

from apps.agents.language import budget
from apps.agents.language.deadline import bounded, within
from apps.base.errors import CommonplaceError, TemporarilyUnavailable, ValidationFailed

if TYPE_CHECKING:
    from openai import OpenAI

logger = logging.getLogger(__name__)
Message = dict[str, Any]
CHARS_PER_TOKEN = 4  # where a server does not say what it used
MAX_TOLD_CHARS = 300
NEWER_WORD = "max_completion_tokens"
_know_newer_word: set[tuple[str, str]] = set()  # servers and their models, found out by asking


class LanguageModelUnavailable(TemporarilyUnavailable):
    code = "language_model_unavailable"
    default_message = "The language model does not answer. Try again in a moment."


class LanguageModelRefused(CommonplaceError):
    code = "language_model_refused"
    http_status = 502
    default_message = "The language model refused the request."


class ModelUnknown(ValidationFailed):
    code = "model_unknown"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """``arguments`` is what the model wrote: it may be no JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Completion:
    """``message`` is what the conversation goes on with."""

    text: str
    message: Message
    prompt_tokens: int
    completion_tokens: int
    tool_calls: tuple[ToolCall, ...] = field(default=())


def is_configured() -> bool:
    """Whether there is a language model. Without one, agents answer from what they find."""
    return bool(settings.LLM_BASE_URL)


def check_model(name: str) -> None:
    """Raises ModelUnknown for a model that the operator does not offer."""
    offered = settings.LLM_MODELS
    if name and offered and name not in {*offered, settings.LLM_MODEL}:
        raise ModelUnknown(
            f"There is no model '{name}'. There are: {', '.join(sorted({*offered, settings.LLM_MODEL} - {''}))}."
        )


def complete(
    messages: Sequence[Message],
    *,
    organization_id: str,
    key_id: str = "",
    model: str = "",
    tools: Sequence[Message] = (),
) -> Completion:
    """Ask, and charge what it took to the organization.

    Raises TokenBudgetSpent before anything is asked; LanguageModelUnavailable when it does not answer within
    ``LLM_TIMEOUT_SECONDS``, all tries together, is overloaded or fails; LanguageModelRefused when it will not, and
    ModelUnknown.
    """
    check_model(model)
    budget.ensure_left(organization_id)
    asked: dict[str, Any] = {"model": model or settings.LLM_MODEL, "messages": list(messages)}
    if tools:
        asked["tools"] = list(tools)
    with within(settings.LLM_TIMEOUT_SECONDS):
        answer = _ask_bounded(asked) if settings.LLM_MAX_OUTPUT_TOKENS else _ask(asked)
    completion = _read(answer, asked)
    budget.charge(organization_id, completion.prompt_tokens + completion.completion_tokens, key_id=key_id)
    return completion


def _ask_bounded(asked: dict[str, Any]) -> Any:
    """With a bound on what is answered, by the word for it that the model knows: some refuse the older one."""
    known = settings.LLM_BASE_URL, asked["model"]
    limit = settings.LLM_MAX_OUTPUT_TOKENS
    if known not in _know_newer_word:
        try:
            return _ask(asked | {"max_tokens": limit})
        except LanguageModelRefused as error:
            if NEWER_WORD not in error.message:
                raise
    answer = _ask(asked | {NEWER_WORD: limit})
    _know_newer_word.add(known)
    return answer


def _ask(asked: dict[str, Any]) -> Any:
    # Imported when there is a language model to be asked: it takes a second.
    from openai import (
        APIConnectionError,
        APIError,
        APIStatusError,
        APITimeoutError,
        InternalServerError,
        RateLimitError,
    )

    try:
        return _client(
            settings.LLM_BASE_URL,
            settings.LLM_API_KEY,
            settings.LLM_TIMEOUT_SECONDS,
            settings.LLM_MAX_RETRIES,
        ).chat.completions.create(**asked)
    except (APITimeoutError, APIConnectionError, RateLimitError, InternalServerError) as error:
        logger.warning("The language model does not answer: %s", error)
        raise LanguageModelUnavailable from error
    except APIStatusError as error:
        told = str(error)[:MAX_TOLD_CHARS]
        raise LanguageModelRefused(f"The language model refused the request: {told}") from error
    except (APIError, ValueError) as error:  # an answer that is no JSON is not caught by the client
        raise LanguageModelRefused("The language model's answer can't be read.") from error


def _read(answer: Any, asked: dict[str, Any]) -> Completion:
    """Servers differ in what they leave out. Raises LanguageModelRefused."""
    try:
        message = answer.choices[0].message
        calls = tuple(
            ToolCall(call.id or f"call-{number}", call.function.name, call.function.arguments or "{}")
            for number, call in enumerate(message.tool_calls or ())
            if call.type == "function"
        )
        text = message.content or ""
    except (AttributeError, IndexError, TypeError) as error:
        raise LanguageModelRefused("The language model's answer can't be read.") from error
    said: Message = {"role": "assistant", "content": text}
    if calls:
        said["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in calls
        ]
    usage = getattr(answer, "usage", None)
    return Completion(
        text=text,
        message=said,
        prompt_tokens=getattr(usage, "prompt_tokens", None) or len(str(asked)) // CHARS_PER_TOKEN,
        completion_tokens=getattr(usage, "completion_tokens", None) or len(str(said)) // CHARS_PER_TOKEN,
        tool_calls=calls,
    )


@lru_cache(maxsize=4)
def _client(base_url: str, api_key: str, timeout_seconds: float, max_retries: int) -> "OpenAI":
    """One for the process: it keeps its connections. A server without keys is given a word: the client insists."""
    from openai import DefaultHttpxClient, OpenAI

    return OpenAI(
        base_url=base_url,
        api_key=api_key or "none",
        timeout=timeout_seconds,
        max_retries=max_retries,
        http_client=bounded(DefaultHttpxClient(timeout=timeout_seconds)),
    )
