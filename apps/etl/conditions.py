"""What an ETL waits for: conditions on a file, joined from left to right.

A condition is ``{"field", "comparison", "value", "mergeOperator"}``. Text is compared without regard to case, and to
how Unicode composes it; numbers by what they are worth; times as moments. ``fields.py`` says what a field's value is.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import models
from django.utils.dateparse import parse_datetime

from apps.base.errors import ValidationFailed
from apps.base.texts import folded_text, is_storable
from apps.etl.fields import FIELD_NAMES, Field, Kind, Value, field_named
from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus

MAX_CONDITIONS = 50
MAX_VALUE_CHARS = 1000
_INT64 = range(-(2**63), 2**63)


class Comparison(models.TextChoices):
    EQUALS = "EQUALS"
    CONTAINS = "CONTAINS"
    STARTS_WITH = "STARTS_WITH"
    ENDS_WITH = "ENDS_WITH"
    IS_EMPTY = "IS_EMPTY"
    IS_NOT_EMPTY = "IS_NOT_EMPTY"


class MergeOperator(models.TextChoices):
    AND = "AND"
    OR = "OR"


WITHOUT_VALUE = frozenset({Comparison.IS_EMPTY, Comparison.IS_NOT_EMPTY})


class ConditionsInvalid(ValidationFailed):
    """``fields`` names each place at fault: ``conditions[1].field``."""


@dataclass(frozen=True, slots=True)
class Condition:
    """``merge_operator`` joins it to the next one; "" in the last. ``value`` is None for IS_EMPTY and IS_NOT_EMPTY."""

    field: str
    comparison: str
    value: str | int | float | bool | None
    merge_operator: str = ""

    def as_json(self) -> dict[str, Any]:
        """As the API tells it and the database keeps it."""
        said = asdict(self)
        return said | {"mergeOperator": said.pop("merge_operator") or None}

    def __str__(self) -> str:
        said = (self.field, self.comparison, self.value, self.merge_operator)
        return " ".join(str(word) for word in said if word not in (None, ""))


@dataclass(frozen=True, slots=True)
class Explanation:
    """What became of one condition; ``actual`` is what the file has there."""

    condition: Condition
    actual: Value
    holds: bool


def parse_conditions(said: object) -> list[Condition]:
    """What a client said, checked. Raises ConditionsInvalid with all that is wrong."""
    if not isinstance(said, list):
        raise _invalid({"conditions": ["A list of conditions is expected."]})
    if len(said) > MAX_CONDITIONS:
        raise _invalid({"conditions": [f"At most {MAX_CONDITIONS} conditions are allowed."]})
    problems: dict[str, list[str]] = {}
    for number, one in enumerate(said):
        for name, problem in _problems_of(one, is_last=number == len(said) - 1):
            place = f"conditions[{number}]" + (f".{name}" if name else "")
            problems.setdefault(place, []).append(problem)
    if problems:
        raise _invalid(problems)
    return conditions_of(said)


def conditions_of(kept: Sequence[Mapping[str, Any]]) -> list[Condition]:
    """Conditions that were checked when they were saved."""
    return [
        Condition(
            one["field"],
            one["comparison"],
            None if one["comparison"] in WITHOUT_VALUE else one["value"],
            one.get("mergeOperator") or "",
        )
        for one in kept
    ]


def hold(conditions: Sequence[Condition], file: File) -> bool:
    """Whether they hold for the file, joined from left to right: ``a OR b AND c`` is ``(a OR b) AND c``.

    Without any, whether the file is READY.
    """
    if not conditions:
        return file.status == FileStatus.READY
    return joined(conditions, [holds(one, value_of(one, file)) for one in conditions])


def explain(conditions: Sequence[Condition], file: File) -> list[Explanation]:
    return [
        Explanation(one, actual, holds(one, actual)) for one in conditions for actual in [value_of(one, file)]
    ]


def joined(conditions: Sequence[Condition], results: Sequence[bool]) -> bool:
    """Needs at least one; ``results`` has one for each condition."""
    verdict = results[0]
    for before, result in zip(conditions, results[1:], strict=False):
        verdict = (verdict and result) if before.merge_operator == MergeOperator.AND else (verdict or result)
    return verdict


def value_of(condition: Condition, file: File) -> Value:
    return field_named(condition.field).read(file)


def holds(condition: Condition, actual: Value) -> bool:
    """Never raises, whatever the file has there.

    Of a list EQUALS asks whether the value is its only item, the others whether any item does.
    """
    is_empty = actual is None or actual == "" or actual == []
    match condition.comparison:
        case Comparison.IS_EMPTY:
            return is_empty
        case Comparison.IS_NOT_EMPTY:
            return not is_empty
    wanted = condition.value
    if is_empty or wanted is None:
        return False
    if isinstance(actual, list):
        if condition.comparison == Comparison.EQUALS:
            return len(actual) == 1 and _is_equal(actual[0], wanted)
        if condition.comparison == Comparison.CONTAINS:
            return any(_is_equal(item, wanted) for item in actual)
        return any(_compares(condition.comparison, item, wanted) for item in actual)
    if condition.comparison == Comparison.EQUALS:
        return _is_equal(actual, wanted)
    return _compares(condition.comparison, actual, wanted)


def _compares(comparison: str, actual: Value, wanted: object) -> bool:
    text, part = folded(actual), folded(wanted)
    match comparison:
        case Comparison.CONTAINS:
            return part in text
        case Comparison.STARTS_WITH:
            return text.startswith(part)
        case Comparison.ENDS_WITH:
            return text.endswith(part)
    return False


def _is_equal(actual: Value, wanted: object) -> bool:
    if isinstance(actual, datetime):
        moment = _moment(wanted)
        return moment is not None and moment == actual
    if _is_number(actual):
        number = _number(wanted)
        return number is not None and number == _number(actual)
    return folded(actual) == folded(wanted)


def folded(value: object) -> str:
    """A value as the text that is compared: 2026.0 is "2026", True is "true", a moment is RFC 3339 in UTC."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        value = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return folded_text(str(value))


def _problems_of(said: object, *, is_last: bool) -> Iterator[tuple[str, str]]:
    """The names of what is wrong with one condition ("": all of it), each with a sentence."""
    if not isinstance(said, dict):
        yield "", "An object is expected: field, comparison, value, mergeOperator."
        return
    field: Field | None = None
    name, comparison = said.get("field"), said.get("comparison")
    if not isinstance(name, str) or not name:
        yield "field", "The name of a file's field is expected."
    else:
        try:
            field = field_named(name)
        except KeyError:
            yield "field", f"A file has no such field to compare. There are: {', '.join(FIELD_NAMES)}."
    if not isinstance(comparison, str) or comparison not in Comparison.values:
        yield "comparison", f"One of these is expected: {', '.join(Comparison.values)}."
    elif comparison not in WITHOUT_VALUE and (problem := _problem_of_value(said, comparison, field)):
        yield "value", problem
    operator = said.get("mergeOperator")
    if is_last and operator not in (None, ""):
        yield "mergeOperator", "The last condition has none: there is nothing to join it to."
    elif not is_last and not (isinstance(operator, str) and operator in MergeOperator.values):
        yield "mergeOperator", "AND or OR is expected, which joins this condition to the next one."


def _problem_of_value(said: dict[str, Any], comparison: str, field: Field | None) -> str:
    value = said.get("value")
    if value is None or value == "":
        return f"A value is expected. To ask whether there is anything, compare by {Comparison.IS_NOT_EMPTY}."
    if isinstance(value, str):
        if len(value) > MAX_VALUE_CHARS:
            return f"At most {MAX_VALUE_CHARS} characters are allowed."
        if not is_storable(value):
            return "NUL and unpaired surrogates are not allowed."
    elif not isinstance(value, int | float) or (
        value not in _INT64 if isinstance(value, int) else not math.isfinite(value)
    ):
        return "A text, a number or a boolean is expected."
    if field is None or comparison != Comparison.EQUALS:
        return ""
    match field.kind:
        case Kind.NUMBER if _number(value) is None:
            return "A number is expected."
        case Kind.TIME if _moment(value) is None:
            return (
                "A time with its offset is expected, such as 2026-01-05T09:14:10Z. "
                "To compare by day, use STARTS_WITH 2026-01-05."
            )
        case Kind.CHOICE if folded(value) not in {folded(choice) for choice in field.choices}:
            return f"One of these is expected: {', '.join(field.choices)}."
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _moment(value: object) -> datetime | None:
    try:
        moment = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment if moment is not None and moment.tzinfo is not None else None


def _invalid(problems: dict[str, list[str]]) -> ConditionsInvalid:
    sentences = (f"{place}: {sentence}" for place, found in problems.items() for sentence in found)
    return ConditionsInvalid(" ".join(sentences), fields=problems)
