"""What beside a file's bytes decides what its chunks and vectors are, as one short name.

The code is part of it, ours and every installed library's: after an upgrade nothing old is reused, and nobody
has to remember to raise a version. What the operating system updates by itself, a Tesseract of its own, is not.
"""

import hashlib
import json
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path

from apps import retrieval
from apps.knowledge.models import File
from apps.retrieval.runtime import get_embedder
from workers import pipeline
from workers.pipeline.parsing.blocks import ParseOptions

PACKAGES = (pipeline, retrieval)  # whose code turns bytes into chunks, and chunks into vectors


def recipe_of(file: File, media_type: str, options: ParseOptions, *, model: str) -> str:
    """64 hex digits. ``media_type`` is the detected one: a file's name and declared type count through it."""
    parts = {
        "code": _code(),
        "embedder": get_embedder(model).name,
        "media_type": media_type,
        "options": asdict(options),
        "custom_instructions": file.custom_instructions,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@cache
def _code() -> str:
    """A hash of our sources, and of the names and versions of all that is installed. Some 0.2 s, once per process."""
    digest = hashlib.sha256()
    for package in PACKAGES:
        root = Path(str(package.__file__)).parent
        for source in sorted(root.rglob("*.py")):
            digest.update(f"{package.__name__}/{source.relative_to(root)}\n".encode())
            digest.update(source.read_bytes())
    for name, version in sorted({(found.name, found.version) for found in metadata.distributions()}):
        digest.update(f"{name}=={version}\n".encode())
    return digest.hexdigest()
