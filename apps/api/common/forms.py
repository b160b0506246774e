"""HTML forms of the browsable API: what they show of a value, and how they say it back."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from django.http import QueryDict
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.renderers import HTMLFormRenderer
from rest_framework.utils.serializer_helpers import BoundField

Suggestion = tuple[str, str]  # a value, and what people call it


def came_by_form(field: serializers.Field) -> bool:
    return isinstance(getattr(field.root, "initial_data", None), QueryDict)


def unix_lines(text: str) -> str:
    """A browser ends the lines of what it sends by CRLF, whatever it was shown."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def line_text(value: Any) -> str:
    return ", ".join(value)


class FormRenderer(HTMLFormRenderer):
    """DRF's, in which a field may tell how its value is written in a form (``form_text``), and a view what can be
    chosen for it: ``suggest`` takes a field's name."""

    def __init__(self, suggest: Callable[[str], Sequence[Suggestion]]) -> None:
        self._suggest = suggest

    def render_field(self, field: BoundField, parent_style: Mapping[str, Any]) -> str:
        asked = field._field
        asked.label = field.name  # as the API spells it, where DRF would write "Llmdescription"
        asked.help_text = (asked.help_text or "").replace("`", "")
        asked.style = {**asked.style, **self._control(asked, field)}
        value, form_text = field.value, getattr(asked, "form_text", None)
        if form_text is not None and value is not None and not isinstance(value, str):
            value = form_text(value)  # what was typed and refused is text already
        errors = [ErrorDetail(sentence) for sentence in _sentences(field.errors)]
        shown = BoundField(asked, value, errors, field._prefix)
        rendered: str = super().render_field(shown, parent_style)
        return rendered

    def _control(self, asked: serializers.Field, field: BoundField) -> dict[str, Any]:
        """The template of the field's control, where it is one of ours, and what that needs."""
        if asked.style.get("base_template") == "textarea.html":
            return {"template": "api/forms/textarea.html"}
        is_list = getattr(asked, "form_text", None) is line_text
        if not (is_list or isinstance(asked, serializers.CharField)):
            return {}
        suggestions = self._suggest(field.name)
        if not suggestions:
            return {}
        if not is_list:
            return {"template": "api/forms/suggested.html", "suggestions": suggestions}
        chosen = _items(field.value)
        known = {value for value, _ in suggestions}
        options = [(value, title, value in chosen) for value, title in suggestions]
        options += [(value, value, True) for value in chosen if value not in known]
        return {"template": "api/forms/choose_many.html", "options": options}


def _sentences(errors: Any, place: str = "") -> Iterator[str]:
    """What is wrong with a field; within a list, at which place."""
    match errors:
        case dict():
            for name, within in errors.items():
                yield from _sentences(within, f"{place}{name}: ")
        case list():
            for within in errors:
                yield from _sentences(within, place)
        case str():
            yield f"{place}{errors}"


def _items(value: Any) -> list[str]:
    if isinstance(value, str):
        return [item for item in map(str.strip, value.split(",")) if item]
    return list(value or ())
