"""Which form an answer takes."""

from collections.abc import Iterable

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


class Negotiation(DefaultContentNegotiation):
    """DRF's own, except that what says nothing is ignored: an unknown ``?format=``, an empty Accept."""

    def filter_renderers(self, renderers: Iterable[BaseRenderer], format: str) -> list[BaseRenderer]:
        known = list(renderers)
        return [renderer for renderer in known if renderer.format == format] or known

    def get_accept_list(self, request: Request) -> list[str]:
        return [media_type for media_type in super().get_accept_list(request) if media_type] or ["*/*"]
