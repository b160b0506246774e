"""Where a page of the browsable API leads."""

from collections.abc import Iterator
from typing import Any

from rest_framework.request import Request

from apps.api.common.paging import DEFAULT_LIMIT

Link = tuple[str, str]  # what it is called, and its address


def links_of(view: Any, request: Request, answer: dict[str, Any]) -> list[Link]:
    """To the items of a list and its other pages, to what lies below, and to what the answer speaks of; each address
    once, and not the page itself."""
    found: dict[str, str] = {}
    for title, url in _all(view, request, answer):
        if url != request.path:
            found.setdefault(url, title)
    return [(title, url) for url, title in found.items()]


def _all(view: Any, request: Request, answer: dict[str, Any]) -> Iterator[Link]:
    items = answer.get("items", [answer])
    if view.item_id:
        yield from zip(view.item_titles(items), map(view.item_url, items), strict=True)
    if "totalRows" in answer:
        yield from _other_pages(view, request, answer)
    yield from ((title, f"{request.path}/{path}") for title, path in view.below.items())
    yield from view.related(answer)
    if link := answer.get("downloadLink"):
        yield "Download", link


def _other_pages(view: Any, request: Request, page: dict[str, Any]) -> Iterator[Link]:
    def at(offset: int) -> str:
        query = request.query_params.copy()
        query["cursor"] = str(offset)
        return f"?{query.urlencode()}"

    offset, count = page["offset"], len(page["items"])
    if offset:
        limit = view.query.validated_data["limit"] if view.query else DEFAULT_LIMIT
        yield "…Back", at(max(0, offset - limit))
    if offset + count < page["totalRows"]:
        yield "More…", at(offset + count)
