"""A Django system check: every action and every tool in the tables can be imported, and says what it takes."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error

from apps.agents.actions.registry import ACTIONS, action
from apps.agents.tools.registry import TOOLS, tool


def check_registries(
    app_configs: Sequence[AppConfig] | None,  # noqa: ARG001  (Django's signature)
    **kwargs: Any,  # noqa: ARG001
) -> list[CheckMessage]:
    errors: list[CheckMessage] = []
    for kind in ACTIONS:
        try:
            action(kind).parameters.model_json_schema()
        except (ImportError, AttributeError) as error:
            errors.append(Error(f"The action {kind} can't be had: {error}", id="agents.E001"))
    for name in TOOLS:
        try:
            described = tool(name).described()["function"]["name"]
        except (ImportError, AttributeError) as error:
            errors.append(Error(f"The tool {name} can't be had: {error}", id="agents.E002"))
        else:
            if described != name:
                errors.append(Error(f"The tool {name} calls itself {described}.", id="agents.E003"))
    return errors
