"""The pages of one organization's site, below its mount: see mounting.py."""

from django.urls import path

# Each registers its admins.
from apps.console.organization import (  # noqa: F401
    agents,
    copies,
    documents,
    etls,
    files,
    former_members,
    keys,
    knowledge_bases,
    people,
    records,
    runs,
)
from apps.console.organization.site import site

urlpatterns = [path("", site.urls)]
