"""The query parameters of a page, as a form of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rest_framework import serializers

from apps.api.common.forms import Suggestion

_HIDDEN = {"cursor"}  # what is narrowed otherwise is read from its start
_INPUT_TYPES: tuple[tuple[type[serializers.Field], str], ...] = (
    (serializers.BooleanField, "checkbox"),
    (serializers.ChoiceField, "select"),
    (serializers.IntegerField, "number"),
    (serializers.DateTimeField, "datetime-local"),
    (serializers.DateField, "date"),
)


@dataclass(frozen=True, slots=True)
class FilterField:
    name: str
    input_type: str
    value: str
    help_text: str
    choices: Sequence[str]
    suggestions: Sequence[Suggestion]
    errors: Sequence[str]


def filter_fields(view: Any) -> list[FilterField]:
    """One for each parameter that the page's query understands, with what was asked for."""
    query: serializers.Serializer = view.query
    return [
        FilterField(
            name=name,
            input_type=_input_type(field),
            value=_value(query, name),
            help_text=(field.help_text or "").replace("`", ""),
            choices=[str(choice) for choice in getattr(field, "choices", ())],
            suggestions=view.suggestions(name),
            errors=query.errors.get(name, []),
        )
        for name, field in query.fields.items()
        if name not in _HIDDEN
    ]


def _input_type(field: serializers.Field) -> str:
    return next((name for kind, name in _INPUT_TYPES if isinstance(field, kind)), "text")


def _value(query: serializers.Serializer, name: str) -> str:
    said = query.initial_data.get(name, "")
    understood = query.validated_data.get(name) if query.is_valid() else None
    if isinstance(understood, datetime):  # which the control takes without its zone, and the API as UTC
        return understood.replace(tzinfo=None).isoformat(timespec="seconds")
    return str(said)
