"""The conditions of an ETL as rows of a form: a field, a comparison, a value, and how the next row is joined."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from apps.etl.conditions import (
    MAX_CONDITIONS,
    WITHOUT_VALUE,
    Comparison,
    ConditionsInvalid,
    MergeOperator,
    parse_conditions,
)
from apps.etl.fields import FIELD_NAMES

SPARE_ROWS = 3
PARTS = ("field", "comparison", "value", "mergeOperator")


class ConditionsWidget(forms.Widget):
    """A table; rows without a field are not there. More rows come with saving."""

    template_name = "manage/conditions.html"

    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        rows = _shown(value) if isinstance(value, list) else []
        spare = min(SPARE_ROWS, MAX_CONDITIONS - len(rows))
        return super().get_context(name, value, attrs) | {
            "rows": [*rows, *[{}] * spare],
            "field_names": FIELD_NAMES,
            "comparisons": Comparison.values,
            "merge_operators": MergeOperator.values,
            "name": name,
        }

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[dict[str, Any]]:
        rows = []
        for number in range(MAX_CONDITIONS):
            said = {part: data.get(f"{name}-{number}-{part}", "").strip() for part in PARTS}
            if said["field"]:
                rows.append(_condition(said))
        if rows:
            rows[-1]["mergeOperator"] = None  # there is nothing to join the last one to
        return rows

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return False


def _condition(said: dict[str, str]) -> dict[str, Any]:
    without_value = said["comparison"] in WITHOUT_VALUE
    return said | {
        "value": None if without_value else said["value"],
        "mergeOperator": said["mergeOperator"] or None,
    }


class ConditionsField(forms.Field):
    widget = ConditionsWidget

    def clean(self, value: Any) -> list[dict[str, Any]]:
        """Raises ValidationError, which names the rows by their number."""
        try:
            return [one.as_json() for one in parse_conditions(value)]
        except ConditionsInvalid as error:
            raise ValidationError(
                [f"{place}: {sentence}" for place, told in error.fields.items() for sentence in told]
            ) from error

    def has_changed(self, initial: Any, data: Any) -> bool:
        """As the rows show them: a number is its digits there."""
        return _shown(initial or []) != _shown(data or [])


def _shown(conditions: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [{part: _text(one.get(part)) for part in PARTS} for one in conditions]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
