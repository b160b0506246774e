"""Many callers at the same moment, over sockets of their own."""

import asyncio
import time
from collections.abc import Sequence

import httpx


def call_at_once(urls: Sequence[str], secret: str) -> list[httpx.Response]:
    """GET each of these with one key, each over a connection that is there before any of them is sent; the answers in
    the order of the URLs."""

    async def call_all() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx.AsyncClient(timeout=60, limits=limits) as client:
            await asyncio.gather(*(client.get(httpx.URL(url).join("/healthz")) for url in urls))
            headers = {"Authorization": f"Bearer {secret}"}
            return list(await asyncio.gather(*(client.get(url, headers=headers) for url in urls)))

    return asyncio.run(call_all())


def check_exactly(admitted: int, answers: Sequence[httpx.Response]) -> None:
    """So many were let in, and each answer's headers are true: every place was given away once, and whoever was refused
    is told when there is one again."""
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {str(admitted)}
    good = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert (len(good), len(refused)) == (admitted, len(answers) - admitted)
    remaining = sorted(int(answer.headers["X-RateLimit-Remaining"]) for answer in good)
    assert remaining == list(range(admitted))
    now = time.time()
    resets = {int(answer.headers["X-RateLimit-Reset"]) for answer in refused}
    assert len(resets) == 1, "all wait for the same call, the first one, to leave the window"
    assert now < resets.pop() <= now + 61
    for answer in refused:
        assert answer.headers["X-RateLimit-Remaining"] == "0"
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert answer.json()["error"]["code"] == "rate_limited"
