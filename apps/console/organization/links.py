"""Links between the site's pages, and to the same things in the browsable API."""

from typing import Any
from urllib.parse import urlencode

from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.console.organization.reach import access_of

Link = tuple[str, str]  # title, URL


def list_url(model: type[Model], **query: str) -> str:
    meta = model._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
    return f"{url}?{urlencode(query)}" if query else url


def row_url(model: type[Model], pk: Any, page: str = "change") -> str:
    meta = model._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{page}", args=[pk])


def linked(model: type[Model], pk: Any, text: str = "") -> SafeString | str:
    """A link to a row's page; nothing where there is no row."""
    return format_html('<a href="{}">{}</a>', row_url(model, pk), text or pk) if pk else ""


def api_url(request: HttpRequest, *parts: str) -> str:
    """The page of the browsable API below the organization."""
    return "/".join(("/orgs", access_of(request).organization.pk, *parts))
