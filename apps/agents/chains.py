"""Chains of actions: checked when they are saved, so that what can't work is told at once."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from apps.agents.actions.registry import action
from apps.agents.templates import TemplateFailed, check_template, texts_of
from apps.agents.validation import sentence_of
from apps.base.errors import ValidationFailed

MAX_STEPS = 20
MAX_DEPTH = 10
STEP_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")


def checked_steps(steps: Sequence[Any]) -> list[dict[str, Any]]:
    """The steps as they are kept: ``name``, ``kind`` and ``parameters``, and nothing else.

    A step without a name is called ``step1``, ``step2``, by its place. Raises ValidationFailed, which names the place
    of all that is wrong: ``steps[1].parameters``.
    """
    if not 1 <= len(steps) <= MAX_STEPS:
        raise ValidationFailed(fields={"steps": [f"A chain has 1 to {MAX_STEPS} steps."]})
    problems: dict[str, list[str]] = {}
    kept: list[dict[str, Any]] = []
    for number, step in enumerate(steps):
        try:
            kept.append(_checked(step, number, [earlier["name"] for earlier in kept]))
        except _Misplaced as error:
            problems[f"steps[{number}]{error.place}"] = [error.message]
            kept.append({"name": step.get("name") if isinstance(step, dict) else None})
    if problems:
        told = " ".join(f"{place}: {sentences[0]}" for place, sentences in problems.items())
        raise ValidationFailed(told, fields=problems)
    return kept


def masked_step(step: dict[str, Any]) -> dict[str, Any]:
    """As it is told to those who may not change the chain."""
    return step | {"parameters": action(step["kind"]).masked(step.get("parameters", {}))}


class _Misplaced(Exception):
    def __init__(self, place: str, message: str) -> None:
        self.place = place
        self.message = message
        super().__init__(message)


def _checked(step: Any, number: int, earlier: list[Any]) -> dict[str, Any]:
    if not isinstance(step, dict):
        raise _Misplaced("", "An object is expected.")
    name = step.get("name") or f"step{number + 1}"
    if not isinstance(name, str) or not STEP_NAME.fullmatch(name):
        raise _Misplaced(".name", "Letters, digits and underscores are expected, at most 40, a letter first.")
    if name in earlier:
        raise _Misplaced(".name", f"Another step is called '{name}' already.")
    kind, parameters = step.get("kind"), step.get("parameters", {})
    try:
        chosen = action(kind if isinstance(kind, str) else "")
    except ValidationFailed as error:
        raise _Misplaced(".kind", error.message) from error
    if not isinstance(parameters, dict) or _depth(parameters) > MAX_DEPTH:
        raise _Misplaced(".parameters", f"An object is expected, {MAX_DEPTH} levels deep at most.")
    try:
        for text in texts_of(parameters):
            check_template(text, earlier_steps=earlier)
        chosen.check(chosen.parameters.model_validate(parameters))
    except ValidationError as error:
        raise _Misplaced(".parameters", sentence_of(error)) from error
    except (TemplateFailed, ValidationFailed) as error:
        raise _Misplaced(".parameters", error.message) from error
    return {"name": name, "kind": kind, "parameters": parameters}


def _depth(value: Any, level: int = 0) -> int:
    if level > MAX_DEPTH or not isinstance(value, dict | list) or not value:
        return level
    inner = value.values() if isinstance(value, dict) else value
    return max(_depth(item, level + 1) for item in inner)
