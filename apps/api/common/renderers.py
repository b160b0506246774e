"""The browsable API, in this product's clothes."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django import forms
from django.http import QueryDict
from drf_spectacular.drainage import get_override
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.permissions import SAFE_METHODS
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request

from apps.api.common.filter_form import filter_fields
from apps.api.common.forms import FormRenderer, json_text
from apps.api.common.links import links_of


class BrowsableRenderer(BrowsableAPIRenderer):
    """A page leads on (``links.py``), narrows what it lists, and has a form of each call that changes something."""

    template = "api/browsable.html"
    accepted_media_type: str
    renderer_context: dict[str, Any]

    def get_context(
        self, data: Any, accepted_media_type: str | None, renderer_context: Mapping[str, Any]
    ) -> dict[str, Any]:
        context = super().get_context(data, accepted_media_type, renderer_context)
        view, request, status = context["view"], context["request"], context["response"].status_code
        if isinstance(data, list):  # a list that is bare by contract
            data = {"items": data, "offset": 0, "totalRows": len(data)}
        if isinstance(data, dict) and status < 400:
            context["links"] = links_of(view, request, data)
            if data.get("uploadUrl"):
                context["upload"] = data  # the page offers to send the bytes
        if request.method in SAFE_METHODS and view.query is not None:
            context["filters"] = filter_fields(view)
        # The page of a call that only takes a POST is its form, not the refusal of the GET that drew it.
        context["is_form_only"] = (
            status == 405 and request.method in SAFE_METHODS and bool(context["post_form"])
        )
        return context

    def render_form_for_serializer(self, serializer: serializers.BaseSerializer) -> str | bytes | None:
        if hasattr(serializer, "initial_data"):
            serializer.is_valid()
        form_renderer = FormRenderer(self.renderer_context["view"].suggestions)
        style: dict[str, Any] = {"style": {"template_pack": "rest_framework/horizontal"}}
        return form_renderer.render(serializer.data, self.accepted_media_type, style)

    def get_raw_data_form(self, data: Any, view: Any, method: str, request: Request) -> forms.Form | None:
        """What the API takes as it is: of a PUT the values that are there, else the example of its documentation."""
        form: forms.Form | None = super().get_raw_data_form(data, view, method, request)
        if form is None:
            return None
        content: Any = _refused_body(view, method, request)
        if content is None and (method != "PUT" or view.form_instance_if_any() is None):
            content = _request_example(view.inputs.get(method))
        if content is not None:
            form.initial["_content"] = json_text(content)
        return form


def _refused_body(view: Any, method: str, request: Request) -> Any:
    """What was sent and refused, to be put right; None for a form, whose own fields keep it."""
    if request.method == method and view.was_refused:
        with suppress(APIException):
            return None if isinstance(request.data, QueryDict) else request.data
    return None


def _request_example(serializer: type[serializers.Serializer] | None) -> Any:
    examples = get_override(serializer, "examples", []) if serializer else []
    return next((example.value for example in examples if example.request_only), {})
