"""Serializer fields that take a value as it is meant: a number is not a string, "yes" is not true.

DRF's own fields coerce, which is right for HTML forms, where everything is text, and wrong for JSON. These
coerce what came by a form only. What a form shows of a value that is no text is its ``form_text`` (``forms.py``).
"""

import json
import math
from typing import Any

from django.core.validators import URLValidator
from django.http import QueryDict
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from apps.api.common.forms import came_by_form, json_text, line_text, unix_lines
from apps.api.common.web_addresses import WebAddress
from apps.base.texts import is_storable
from apps.knowledge.attribute_limits import (
    MAX_METADATA_KEY_CHARS,
    MAX_METADATA_KEYS,
    MAX_METADATA_VALUE_CHARS,
    MAX_TAG_CHARS,
    MAX_TAGS,
)

INT64 = range(-(2**63), 2**63)  # what the index can hold


class StrictCharField(serializers.CharField):
    def run_validation(self, data: Any = empty) -> Any:
        """As long as it was sent: DRF measures what is left without the white space around it."""
        if isinstance(data, str) and self.max_length is not None:
            sent = unix_lines(data) if came_by_form(self) else data
            if len(sent) > self.max_length:
                self.fail("max_length", max_length=self.max_length)
        return super().run_validation(data)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(unix_lines(data) if came_by_form(self) else data)


class OptionalTextField(StrictCharField):
    """Text that may be left out; null and "" both mean none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"required": False, "allow_blank": True, "allow_null": True} | kwargs)

    def run_validation(self, data: Any = empty) -> str:
        return super().run_validation(data) or ""


class OptionalUrlField(serializers.URLField):
    """A web address that may be left out; null and "" both mean none."""

    default_error_messages = {"invalid": WebAddress.message}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"required": False, "allow_blank": True, "allow_null": True} | kwargs)
        any_scheme = [one for one in self.validators if isinstance(one, URLValidator)]
        self.validators = [one for one in self.validators if one not in any_scheme]
        self.validators.append(WebAddress())

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)

    def run_validation(self, data: Any = empty) -> str:
        return super().run_validation(data) or ""


class EmptyAsNullField(serializers.CharField):
    """Output only: text that a column keeps as "" and the API tells as null."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"allow_null": True} | kwargs)

    def to_representation(self, value: Any) -> str | None:  # type: ignore[override]  # null is the point
        return super().to_representation(value) or None


class StrictIntegerField(serializers.IntegerField):
    def to_internal_value(self, data: Any) -> int:
        is_whole = isinstance(data, int) or (isinstance(data, float) and data.is_integer())
        if isinstance(data, bool) or not (is_whole or came_by_form(self)):
            self.fail("invalid")
        return super().to_internal_value(int(data) if is_whole else data)


class StrictFloatField(serializers.FloatField):
    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not (isinstance(data, int | float) or came_by_form(self)):
            self.fail("invalid")
        try:
            number = super().to_internal_value(data)
        except OverflowError:
            self.fail("invalid")
        if not math.isfinite(number):
            self.fail("invalid")
        return number


class StrictBooleanField(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not (isinstance(data, bool) or came_by_form(self)):
            self.fail("invalid", input=data)
        return bool(super().to_internal_value(data))


class StrictChoiceField(serializers.ChoiceField):
    """One of some words. The refusal names them, and does not echo what was sent."""

    default_error_messages = {"invalid_choice": "One of these is expected: {words}."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str) or data not in self.choices:
            self.fail("invalid_choice", words=", ".join(map(str, self.choices)))
        return data


class StrictMultipleChoiceField(serializers.MultipleChoiceField):
    """Some of several words, in a list: DRF's own takes an object for the list of its names."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, list):
            self.fail("not_a_list", input_type=type(data).__name__)
        return super().to_internal_value(data)  # type: ignore[arg-type]  # stubs: of one word


class TextListField(serializers.ListField):
    """A list of strings; in a form, one line with commas between them, or the choices made of some."""

    form_text = staticmethod(line_text)

    def __init__(self, *, max_item_chars: int, **kwargs: Any) -> None:
        self.max_item_chars = max_item_chars
        kwargs.setdefault("style", {"base_template": "input.html", "placeholder": "one, two"})
        kwargs.setdefault("initial", "")  # of the form's line; a list's would be sent back as the text "[]"
        super().__init__(child=StrictCharField(max_length=max_item_chars), **kwargs)

    def get_value(self, dictionary: Any) -> Any:
        if not isinstance(dictionary, QueryDict):
            return dictionary.get(self.field_name, empty)
        told = [line for line in dictionary.getlist(str(self.field_name)) if line]
        return ",".join(told) if told else empty  # nobody typed an empty list

    def to_internal_value(self, data: Any) -> list[str]:
        if isinstance(data, str) and came_by_form(self):
            data = [item for item in map(str.strip, data.split(",")) if item]
        return list(dict.fromkeys(super().to_internal_value(data)))


class EditableTextListField(TextListField):
    """Of something that is there: an empty line of a form takes away what it had."""

    def get_value(self, dictionary: Any) -> Any:
        value = super().get_value(dictionary)
        return "" if value is empty and self.field_name in dictionary else value


class TagsField(TextListField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            **{"max_item_chars": MAX_TAG_CHARS, "max_length": MAX_TAGS, "required": False} | kwargs
        )


class EditableTagsField(TagsField, EditableTextListField):
    pass


@extend_schema_field(
    {
        "type": "object",
        "maxProperties": MAX_METADATA_KEYS,
        "additionalProperties": {
            "oneOf": [
                {"type": "string", "maxLength": MAX_METADATA_VALUE_CHARS},
                {"type": "number"},
                {"type": "boolean"},
            ]
        },
        "example": {"department": "sales", "year": 2026, "final": True},
    }
)
class MetadataField(serializers.Field):
    """A flat object of strings, numbers and booleans; in a form, its JSON."""

    form_text = staticmethod(json_text)

    default_error_messages = {
        "object": "A flat object of strings, numbers and booleans is expected.",
        "keys": f"At most {MAX_METADATA_KEYS} keys are allowed.",
        "key": f"A key has 1 to {MAX_METADATA_KEY_CHARS} characters.",
        "value": "The value of '{name}' must be a string, a number or a boolean.",
        "long": "The value of '{name}' is longer than " + f"{MAX_METADATA_VALUE_CHARS} characters.",
        "range": "The value of '{name}' is a number out of range.",
        "characters": "NUL and unpaired surrogates are not allowed.",
    }

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault(
            "style", {"base_template": "textarea.html", "rows": 3, "placeholder": '{"year": 2026}'}
        )
        super().__init__(**{"required": False} | kwargs)

    def to_internal_value(self, data: Any) -> dict[str, str | int | float | bool]:
        if isinstance(data, str) and came_by_form(self):
            data = self._read(data)
        if not isinstance(data, dict):
            self.fail("object")
        if len(data) > MAX_METADATA_KEYS:
            self.fail("keys")
        for key, value in data.items():
            self._check(key, value)
        return data

    def to_representation(self, value: Any) -> Any:
        return value

    def _read(self, text: str) -> Any:
        try:
            return json.loads(text) if text.strip() else {}
        except (ValueError, RecursionError):
            self.fail("object")

    def _check(self, key: str, value: Any) -> None:
        if not key.strip() or len(key) > MAX_METADATA_KEY_CHARS:
            self.fail("key")
        if not is_storable(key):
            self.fail("characters")
        if isinstance(value, str):
            if len(value) > MAX_METADATA_VALUE_CHARS:
                self.fail("long", name=key)
            if not is_storable(value):
                self.fail("characters")
        elif not isinstance(value, int | float):  # a boolean is an int
            self.fail("value", name=key)
        elif value not in INT64 if isinstance(value, int) else not math.isfinite(value):
            self.fail("range", name=key)
