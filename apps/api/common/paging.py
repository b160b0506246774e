"""Lists in pages: ``limit`` and ``cursor`` (an offset) in, ``{"items", "totalRows", "offset"}`` out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

M = TypeVar("M", bound=Model)
DEFAULT_LIMIT, MAX_LIMIT, MAX_OFFSET = 20, 100, 2**31 - 1


class PageQuery(serializers.Serializer):
    """The query parameters of every list. A list adds its own, and an ``OrderByField``."""

    limit = serializers.IntegerField(
        min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT, help_text="How many items to answer at most."
    )
    cursor = serializers.IntegerField(
        min_value=0, max_value=MAX_OFFSET, default=0, help_text="The offset to start from."
    )


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    items: list[M]
    total_rows: int
    offset: int


def paginate(rows: QuerySet[M], query: Mapping[str, Any]) -> Page[M]:
    """The page that a validated ``PageQuery`` asks for, in the model's own order unless it names another."""
    if order := query.get("orderBy"):
        rows = rows.order_by(*order)
    offset = query["cursor"]
    return Page(list(rows[offset : offset + query["limit"]]), rows.count(), offset)


def page_serializer(item: type[serializers.Serializer]) -> type[serializers.Serializer]:
    """The output serializer of a ``Page`` of these items."""
    name = item.__name__.removesuffix("Serializer")
    told = getattr(item, "_spectacular_annotation", {}).get("examples", ())
    example = next((one.value for one in told if one.response_only), None)
    page = type(
        f"{name}PageSerializer",
        (serializers.Serializer,),
        {
            "__doc__": "One page of a list.",
            "items": item(many=True),
            "totalRows": serializers.IntegerField(
                source="total_rows", help_text="How many there are in all."
            ),
            "offset": serializers.IntegerField(help_text="Where this page starts."),
        },
    )
    if example is None:
        return page
    value = {"items": [example], "totalRows": 1, "offset": 0}
    tell = extend_schema_serializer(
        examples=[OpenApiExample("A page", value=value, response_only=True)], many=False
    )
    told_page: type[serializers.Serializer] = tell(page)
    return told_page
