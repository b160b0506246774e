"""The browsable API, in this product's clothes."""

from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import BrowsableAPIRenderer


class BrowsableRenderer(BrowsableAPIRenderer):
    template = "api/browsable.html"

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Mapping[str, Any]
    ) -> dict[str, Any]:
        context = super().get_context(data, accepted_media_type, renderer_context)
        if isinstance(data, dict) and data.get("uploadUrl"):
            context["upload"] = data  # the page offers to send the bytes
        return context
