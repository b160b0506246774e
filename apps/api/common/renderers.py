"""The browsable API, in this product's clothes."""

from collections.abc import Iterator, Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request

Link = tuple[str, str]


class BrowsableRenderer(BrowsableAPIRenderer):
    """A page leads on: to the items of a list, and to what the view names in ``below``."""

    template = "api/browsable.html"

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Mapping[str, Any]
    ) -> dict[str, Any]:
        context = super().get_context(data, accepted_media_type, renderer_context)
        view, request, status = context["view"], context["request"], context["response"].status_code
        if isinstance(data, list):  # a list that is bare by contract
            data = {"items": data, "offset": 0, "totalRows": len(data)}
        if isinstance(data, dict) and status < 400:
            context["links"] = list(_links(view, request, data))
            if data.get("uploadUrl"):
                context["upload"] = data  # the page offers to send the bytes
        # The page of a call that only takes a POST is its form, not the refusal of the GET that drew it.
        context["is_form_only"] = (
            status == 405 and request.method in SAFE_METHODS and bool(context["post_form"])
        )
        return context

    def render_form_for_serializer(self, serializer: serializers.BaseSerializer) -> str | bytes | None:
        if isinstance(serializer, serializers.Serializer):
            for name, field in serializer.fields.items():
                field.label = name  # as the API spells it, where DRF would write "Llmdescription"
                field.help_text = (field.help_text or "").replace("`", "")
        return super().render_form_for_serializer(serializer)


def _links(view: Any, request: Request, data: dict[str, Any]) -> Iterator[Link]:
    items = data.get("items", [data])
    if view.item_id:
        yield from ((item[view.item_title], f"{request.path}/{item[view.item_id]}") for item in items)
    if "items" in data and data["offset"] + len(items) < data["totalRows"]:
        query = request.query_params.copy()
        query["cursor"] = str(data["offset"] + len(items))
        yield "More…", f"?{query.urlencode()}"
    yield from ((title, f"{request.path}/{path}") for title, path in view.below.items())
    if link := data.get("downloadLink"):
        yield "Download", link
