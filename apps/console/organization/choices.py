"""Fields of forms that choose from what the caller sees, and that hold values to what the database can."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model

from apps.base.texts import is_storable
from apps.knowledge.ocr_languages import refusal_of


class CheckBoxes(forms.CheckboxSelectMultiple):
    class Media:
        css = {"all": ("console/choices.css",)}


class SeveralField(forms.MultipleChoiceField):
    """Check boxes. The choices are set by ``offer``."""

    widget = CheckBoxes(attrs={"class": "several"})

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"required": False} | kwargs)


def offer(form: forms.BaseForm, name: str, choices: Iterable[tuple[str, str]]) -> None:
    """What this form's field is chosen from."""
    field = form.fields[name]
    assert isinstance(field, forms.ChoiceField)  # noqa: S101 - told to mypy
    field.choices = list(choices)


def named(rows: Iterable[Model]) -> list[tuple[str, str]]:
    return [(str(row.pk), f"{row} ({row.pk})") for row in rows]


class OcrLanguagesField(forms.CharField):
    """Tesseract's names of languages, with commas between them."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        languages = [name.strip() for name in str(super().clean(value)).split(",") if name.strip()]
        if refusal := refusal_of(languages):
            raise ValidationError(refusal)
        return languages

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), data)


class StrictJsonField(forms.JSONField):
    """JSON that both databases can hold, and that is a list."""

    widget = forms.Textarea(attrs={"rows": 24, "cols": 100, "class": "vLargeTextField"})

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, str):
            return super().prepare_value(value)
        return json.dumps(value, ensure_ascii=False, indent=2)

    def bound_data(self, data: Any, initial: Any) -> Any:
        try:
            return super().bound_data(data, initial)
        except RecursionError:
            return data  # shown as it was typed

    def to_python(self, value: Any) -> Any:
        try:
            said = super().to_python(value)
            can_be_kept = _can_be_kept(said)
        except RecursionError:
            raise ValidationError("This is nested too deeply.") from None
        if said is not None and not isinstance(said, list):
            raise ValidationError("A list is expected.")
        if not can_be_kept:
            raise ValidationError("NUL, unpaired surrogates and numbers out of range are not allowed.")
        return said


def _can_be_kept(value: Any) -> bool:
    match value:
        case str():
            return is_storable(value)
        case float():
            return math.isfinite(value)
        case list():
            return all(map(_can_be_kept, value))
        case Mapping():
            return all(_can_be_kept(part) for item in value.items() for part in item)
    return True
