"""Styles and scripts of the pages, over the application that is deployed."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.asgi_server import serving

SCRIPT = "/static/api/upload.js"


@pytest.fixture(scope="module")
def base_url(deployed: Any) -> Iterator[str]:
    with serving(deployed) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.filterwarnings("error:StreamingHttpResponse must consume")
def test_script_is_served_whole_in_part_and_by_its_head(base_url: str) -> None:
    whole = httpx.get(base_url + SCRIPT)
    assert (whole.status_code, whole.headers["content-type"]) == (200, 'text/javascript; charset="utf-8"')
    assert len(whole.content) == int(whole.headers["content-length"]) > 500
    part = httpx.get(base_url + SCRIPT, headers={"Range": "bytes=0-9", "Accept-Encoding": "identity"})
    assert (part.status_code, part.content) == (206, whole.content[:10])
    head = httpx.head(base_url + SCRIPT)
    assert (head.status_code, head.headers["content-length"]) == (200, whole.headers["content-length"])
    unchanged = {"If-Modified-Since": whole.headers["last-modified"]}
    again = httpx.get(base_url + SCRIPT, headers=unchanged)
    assert (again.status_code, again.content) == (304, b"")


def test_nothing_else_of_the_disk_is_static(base_url: str) -> None:
    for path in (
        "/static/../manage.py",
        "/static/%2e%2e/%2e%2e/manage.py",
        "/static//etc/passwd",
        "/static/",
    ):
        assert httpx.get(base_url + path).status_code == 404, path
