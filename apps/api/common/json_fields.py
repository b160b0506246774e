"""Fields whose value is JSON of a shape that only the domain knows."""

import json
import math
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from apps.api.common.forms import came_by_form, json_text
from apps.base.texts import is_storable

MAX_DEPTH = 20


class StrictJsonField(serializers.Field):
    """A value of one JSON type, whatever is in it; in a form, its JSON. What no database can hold is refused."""

    form_text = staticmethod(json_text)
    kind: type = object
    default_error_messages = {
        "kind": "A JSON value is expected.",
        "depth": f"At most {MAX_DEPTH} levels are allowed.",
        "characters": "NUL and unpaired surrogates are not allowed.",
        "range": "A number is out of range.",
    }

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"base_template": "textarea.html", "rows": 8})
        super().__init__(**{"required": False} | kwargs)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str) and came_by_form(self):
            try:
                data = json.loads(data) if data.strip() else self.kind()
            except (ValueError, RecursionError):
                self.fail("kind")
        if not isinstance(data, self.kind):
            self.fail("kind")
        self._check(data, 0)
        return data

    def to_representation(self, value: Any) -> Any:
        return value

    def _check(self, value: Any, level: int) -> None:
        if level > MAX_DEPTH:
            self.fail("depth")
        match value:
            case str() if not is_storable(value):
                self.fail("characters")
            case float() if not math.isfinite(value):
                self.fail("range")
            case list():
                for item in value:
                    self._check(item, level + 1)
            case dict():
                for name, item in value.items():
                    self._check(name, level)
                    self._check(item, level + 1)


@extend_schema_field({"type": "object", "additionalProperties": True})
class JsonObjectField(StrictJsonField):
    kind = dict
    default_error_messages = {"kind": "An object is expected."}


@extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": True}})
class JsonListField(StrictJsonField):
    kind = list
    default_error_messages = {"kind": "A list is expected."}


class JsonItemsField(serializers.ListField):
    """A list of what is no text; in a form, its JSON."""

    form_text = staticmethod(json_text)

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("style", {"base_template": "textarea.html", "rows": 8})
        kwargs.setdefault("initial", None)
        super().__init__(**kwargs)

    def get_value(self, dictionary: Any) -> Any:
        return dictionary.get(self.field_name, empty)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, str) and came_by_form(self):
            try:
                data = json.loads(data)
            except (ValueError, RecursionError):
                self.fail("not_a_list", input_type="text")
        return super().to_internal_value(data)


@extend_schema_field({"nullable": True, "description": "Any JSON."})
class AnyJsonField(serializers.JSONField):
    """Output only."""
