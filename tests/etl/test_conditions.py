"""What conditions mean, and which are refused."""

import itertools
import json
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.etl.conditions import ConditionsInvalid, hold, parse_conditions
from apps.etl.fields import FIELD_NAMES
from apps.knowledge.models import File
from tests.etl.conftest import condition


def a_file(**columns: Any) -> File:
    """Never saved: conditions read what is in memory."""
    return File(
        **{
            "id": "file-1",
            "organization_id": "org-1",
            "knowledge_base_id": "kb-1",
            "creator_id": "user-1",
            "file_name": "Annual Report.PDF",
            "content_type": "application/pdf",
            "status": "READY",
            "size_bytes": 2048,
            "page_count": 12,
            "created_at": datetime(2026, 1, 5, 9, 14, 10, tzinfo=UTC),
            "tags": ["Finance", "draft"],
            "metadata": {"year": 2026, "final": True, "a.b": "x", "ratio": 0.1, "code": "007", "note": ""},
        }
        | columns
    )


def holds(field: str, comparison: str, value: object = None, **columns: Any) -> bool:
    return hold(parse_conditions([condition(field, comparison, value)]), a_file(**columns))


@pytest.mark.parametrize(
    ("field", "comparison", "value"),
    [
        ("fileName", "ENDS_WITH", ".pdf"),  # case does not matter
        ("fileName", "EQUALS", "annual report.pdf"),
        ("fileName", "STARTS_WITH", "ANNUAL"),
        ("fileName", "CONTAINS", "l r"),
        ("status", "EQUALS", "ready"),
        ("sizeBytes", "EQUALS", 2048),
        ("sizeBytes", "EQUALS", "2048"),
        ("sizeBytes", "EQUALS", 2048.0),
        ("sizeBytes", "STARTS_WITH", "20"),
        ("pageCount", "EQUALS", "12"),
        ("createdAt", "EQUALS", "2026-01-05T10:14:10+01:00"),  # the same moment
        ("createdAt", "STARTS_WITH", "2026-01-05"),
        ("tags", "CONTAINS", "finance"),
        ("tags", "STARTS_WITH", "dra"),
        ("tags", "ENDS_WITH", "NANCE"),
        ("tags", "IS_NOT_EMPTY", None),
        ("metadata.year", "EQUALS", "2026"),
        ("metadata.year", "EQUALS", 2026.0),
        ("metadata.year", "STARTS_WITH", 20),
        ("metadata.final", "EQUALS", True),
        ("metadata.final", "EQUALS", "TRUE"),
        ("metadata.ratio", "EQUALS", "0.10"),
        ("metadata.a.b", "EQUALS", "x"),
        ("metadata.code", "EQUALS", "007"),
        ("metadata.note", "IS_EMPTY", None),
        ("metadata.missing", "IS_EMPTY", None),
        ("externalFileUrl", "IS_EMPTY", ""),
        ("creatorUserId", "EQUALS", "user-1"),
        ("key", "STARTS_WITH", "orgs/org-1/kbs/kb-1/files/"),
    ],
)
def test_condition_holds(field: str, comparison: str, value: object) -> None:
    assert holds(field, comparison, value)


@pytest.mark.parametrize(
    ("field", "comparison", "value"),
    [
        ("fileName", "EQUALS", "report.pdf"),
        ("fileName", "STARTS_WITH", "report"),
        ("fileName", "ENDS_WITH", "pdf."),
        ("fileName", "CONTAINS", "annual  report"),
        ("status", "EQUALS", "ERROR"),
        ("sizeBytes", "EQUALS", 204),
        ("createdAt", "EQUALS", "2026-01-05T09:14:11Z"),
        ("tags", "EQUALS", "finance"),  # not its only tag
        ("tags", "CONTAINS", "fin"),  # of a list, whole items
        ("tags", "IS_EMPTY", None),
        ("metadata.final", "EQUALS", 1),  # true is no number
        ("metadata.year", "EQUALS", "in 2026"),
        ("metadata.code", "EQUALS", 7),  # text is compared as text
        ("metadata.missing", "EQUALS", "x"),
        ("metadata.missing", "IS_NOT_EMPTY", None),
        ("metadata.YEAR", "EQUALS", 2026),  # a key is what it is
        ("errorCode", "CONTAINS", "x"),
    ],
)
def test_condition_does_not_hold(field: str, comparison: str, value: object) -> None:
    assert not holds(field, comparison, value)


def test_only_tag_is_equal() -> None:
    assert holds("tags", "EQUALS", "FINANCE", tags=["Finance"])


def test_name_typed_on_another_system_is_the_same_name() -> None:
    assert holds("fileName", "EQUALS", "r\u00e9sum\u00e9.pdf", file_name="re\u0301sume\u0301.pdf")
    assert holds("fileName", "CONTAINS", "STRASSE", file_name="Hauptstraße.txt")


def test_zero_and_false_are_not_empty() -> None:
    assert not holds("chunkCount", "IS_EMPTY", chunk_count=0)
    assert not holds("metadata.final", "IS_EMPTY", metadata={"final": False})
    assert holds("sizeBytes", "IS_EMPTY", size_bytes=None)


def test_pages_are_not_told_while_they_are_counted() -> None:
    assert holds("pageCount", "IS_EMPTY", status="PROCESSING")


def test_operators_join_from_left_to_right() -> None:
    """``a OR b AND c`` is ``(a OR b) AND c``, where AND first would make it true."""
    true, false = condition("status", "EQUALS", "READY"), condition("status", "EQUALS", "ERROR")
    said = [true | {"mergeOperator": "OR"}, true | {"mergeOperator": "AND"}, false]
    assert not hold(parse_conditions(said), a_file())
    assert hold(
        parse_conditions([false | {"mergeOperator": "AND"}, false | {"mergeOperator": "OR"}, true]), a_file()
    )


def test_without_conditions_it_is_ready_files() -> None:
    assert hold([], a_file())
    assert not hold([], a_file(status="PROCESSING"))


OK = condition("status", "EQUALS", "READY")
REFUSED: list[tuple[object, list[str]]] = [
    ("READY", ["conditions"]),
    ([OK] * 51, ["conditions"]),
    (["READY"], ["conditions[0]"]),
    ([OK | {"field": "filename"}], ["conditions[0].field"]),
    ([OK | {"field": "updatedAt"}], ["conditions[0].field"]),
    ([OK | {"field": "metadata."}], ["conditions[0].field"]),
    ([OK | {"field": "metadata"}], ["conditions[0].field"]),
    ([OK | {"field": "metadata.a\x00"}], ["conditions[0].field"]),
    ([OK | {"field": "metadata.\ud800"}], ["conditions[0].field"]),
    ([OK | {"field": None}], ["conditions[0].field"]),
    ([OK | {"field": ["status"]}], ["conditions[0].field"]),
    ([OK | {"comparison": "GREATER_THAN"}], ["conditions[0].comparison"]),
    ([OK | {"comparison": "equals"}], ["conditions[0].comparison"]),
    ([OK | {"comparison": {}}], ["conditions[0].comparison"]),
    ([{"field": "status", "comparison": "EQUALS"}], ["conditions[0].value"]),
    ([OK | {"value": ""}], ["conditions[0].value"]),
    ([OK | {"value": "DONE"}], ["conditions[0].value"]),
    ([OK | {"value": ["READY"]}], ["conditions[0].value"]),
    ([condition("fileName", "CONTAINS", "a\x00")], ["conditions[0].value"]),
    ([condition("fileName", "CONTAINS", "\ud800")], ["conditions[0].value"]),
    ([condition("fileName", "CONTAINS", "x" * 1001)], ["conditions[0].value"]),
    ([condition("metadata.n", "EQUALS", 2**63)], ["conditions[0].value"]),
    ([condition("metadata.n", "EQUALS", float("nan"))], ["conditions[0].value"]),
    ([condition("sizeBytes", "EQUALS", "big")], ["conditions[0].value"]),
    ([condition("createdAt", "EQUALS", "2026-01-05")], ["conditions[0].value"]),
    ([condition("createdAt", "EQUALS", "2026-13-05T00:00:00Z")], ["conditions[0].value"]),
    ([OK | {"mergeOperator": "AND"}], ["conditions[0].mergeOperator"]),
    ([OK, OK], ["conditions[0].mergeOperator"]),
    ([OK | {"mergeOperator": "XOR"}, OK], ["conditions[0].mergeOperator"]),
    (
        [OK, {"field": "x", "comparison": "y"}],
        ["conditions[0].mergeOperator", "conditions[1].field", "conditions[1].comparison"],
    ),
]


@pytest.mark.parametrize(("said", "places"), REFUSED)
def test_what_is_wrong_is_refused_by_its_place(said: object, places: list[str]) -> None:
    with pytest.raises(ConditionsInvalid) as refused:
        parse_conditions(said)
    assert list(refused.value.fields) == places


# --- against a direct reading of the rules -----------------------------------------------------------

WORDS = st.sampled_from(["a", "A", "ab", "É", "e\u0301", "ß", "SS", "report.pdf", "10", "10.0", "true", " "])
VALUES = st.one_of(WORDS, st.integers(-3, 12), st.sampled_from([0.1, 10.0, 2.5]), st.booleans())
COMPARISONS = ["EQUALS", "CONTAINS", "STARTS_WITH", "ENDS_WITH", "IS_EMPTY", "IS_NOT_EMPTY"]
ONE = st.tuples(
    st.sampled_from(["fileName", "tags", "metadata.k", "sizeBytes"]), st.sampled_from(COMPARISONS), VALUES
)


def plain(value: Any) -> str:
    """What text is compared as, by the words of the rule: JSON's text of a value, whole numbers without a fraction."""
    if isinstance(value, float) and value == int(value):
        value = int(value)
    text = value if isinstance(value, str) else json.dumps(value)
    folded = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", folded)


def directly(field: str, comparison: str, value: Any, file: File) -> bool:
    actual: Any = {
        "fileName": file.file_name,
        "tags": file.tags,
        "sizeBytes": file.size_bytes,
        "metadata.k": file.metadata.get("k"),
    }[field]
    empty = actual is None or (actual in ("", []) and actual is not False)
    if comparison in ("IS_EMPTY", "IS_NOT_EMPTY"):
        return empty == (comparison == "IS_EMPTY")
    if empty:
        return False
    items = actual if isinstance(actual, list) else [actual]
    if comparison == "EQUALS" or (comparison == "CONTAINS" and isinstance(actual, list)):
        equal = [same(item, value) for item in items]
        return all(equal) and len(equal) == 1 if comparison == "EQUALS" else any(equal)
    ask = {"CONTAINS": str.__contains__, "STARTS_WITH": str.startswith, "ENDS_WITH": str.endswith}[comparison]
    return any(ask(plain(item), plain(value)) for item in items)


def same(item: Any, value: Any) -> bool:
    if isinstance(item, int | float) and not isinstance(item, bool):
        if isinstance(value, bool):
            return False
        try:
            return float(item) == float(value)
        except ValueError:
            return False
    return plain(item) == plain(value)


@given(
    chain=st.lists(st.tuples(ONE, st.sampled_from(["AND", "OR"])), min_size=1, max_size=6),
    name=WORDS,
    tags=st.lists(WORDS, max_size=3),
    metadata=st.one_of(st.none(), VALUES, st.just("")),
    size=st.one_of(st.none(), st.integers(0, 12)),
)
def test_conditions_mean_what_the_rules_say(
    chain: list[tuple[tuple[str, str, Any], str]], name: str, tags: list[str], metadata: Any, size: int | None
) -> None:
    file = a_file(
        file_name=name, tags=tags, metadata={} if metadata is None else {"k": metadata}, size_bytes=size
    )
    chain = [one for one in chain if is_allowed(*one[0])]
    if not chain:
        return
    said = [condition(*one, operator) for one, operator in chain]
    said[-1]["mergeOperator"] = None
    expected = directly(*chain[0][0], file)
    for (_, operator), (one, _) in itertools.pairwise(chain):
        result = directly(*one, file)
        expected = (expected and result) if operator == "AND" else (expected or result)
    assert hold(parse_conditions(said), file) == expected


def is_allowed(field: str, comparison: str, value: Any) -> bool:
    """A size is never equal to what is no number, and is refused."""
    if field != "sizeBytes" or comparison != "EQUALS":
        return True
    try:
        return not isinstance(value, bool) and float(value) == float(value)
    except ValueError:
        return False


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
SAID = st.fixed_dictionaries(
    {
        "field": st.sampled_from([*FIELD_NAMES, "metadata.k"]) | JSON,
        "comparison": st.sampled_from(COMPARISONS) | JSON,
        "value": JSON,
        "mergeOperator": st.sampled_from(["AND", "OR", None, ""]) | JSON,
    }
)


@given(said=st.lists(SAID | JSON, max_size=3) | JSON)
def test_whatever_is_said_is_refused_by_name_or_can_be_evaluated(said: Any) -> None:
    try:
        conditions = parse_conditions(said)
    except ConditionsInvalid as error:
        assert error.fields and all(place.startswith("conditions") for place in error.fields)
    else:
        assert hold(conditions, a_file()) in (True, False)
        assert parse_conditions([one.as_json() for one in conditions]) == conditions
