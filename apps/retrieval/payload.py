"""What is stored beside each vector: the same ids, keys and values in every engine."""

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

from apps.retrieval.contracts import EncodedChunk, PointId, RevisionCount, StoredChunk
from apps.retrieval.languages import DEFAULT_LANGUAGE
from apps.retrieval.passages import Chunk, FileAttributes, RevisionAddress

# Part of the collection's name: raise it when a change here makes old points unreadable.
LAYOUT_VERSION = 1
COLLECTION_PREFIX = "passages-v"
_COLLECTION = re.compile(rf"{COLLECTION_PREFIX}\d+-.+-\d+")
DENSE, SPARSE = "dense", "bm25"

ORGANIZATION = "organization_id"
KNOWLEDGE_BASE = "knowledge_base_id"
FILE = "file_id"
FILE_REVISION = "file_revision"  # "<file id>:<revision>", to select or hide one revision by one keyword
TAGS = "tags"
METADATA = "metadata"  # keywords "<key>=<JSON value>": any pair can be filtered by one indexed field
KEYWORD_FIELDS = (ORGANIZATION, KNOWLEDGE_BASE, FILE, FILE_REVISION, TAGS, METADATA)

_POINT_NAMESPACE = uuid.UUID("6f0e7a52-4d4f-5a0e-9c0b-2f6f3f0b7c11")


def collection_name(embedder_name: str, dimension: int) -> str:
    """Return the one collection for a model: other vectors, or another layout, get another name."""
    return f"{COLLECTION_PREFIX}{LAYOUT_VERSION}-{embedder_name}-{dimension}"


def is_collection_name(name: str) -> bool:
    """Whether it is one that ``collection_name`` gives: other things may be kept beside the product's."""
    return bool(_COLLECTION.fullmatch(name))


def dimension_of(collection: str) -> int:
    """Read the dimension back from a collection's name."""
    return int(collection.rpartition("-")[2])


def point_id(file_id: str, revision: int, ordinal: int) -> str:
    """Return the UUID that file, revision and ordinal determine: writing twice replaces."""
    return str(uuid.uuid5(_POINT_NAMESPACE, f"{file_id}:{revision}:{ordinal}"))


def vector_id(point: PointId) -> str:
    """Return the id callers see."""
    return f"vec-{str(point).replace('-', '')}"


def file_revision(file_id: str, revision: int) -> str:
    return f"{file_id}:{revision}"


def metadata_keyword(key: str, value: str | int | float | bool) -> str:
    """Return one metadata pair as a keyword. Numbers compare as JSON's do: 1 is 1.0, and neither is true."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def attribute_fields(attributes: FileAttributes) -> dict[str, list[str]]:
    """Return the payload fields that a change of tags or metadata replaces."""
    return {
        TAGS: sorted(set(attributes.tags)),
        METADATA: sorted(metadata_keyword(key, value) for key, value in attributes.metadata.items()),
    }


def chunk_payload(
    address: RevisionAddress, attributes: FileAttributes, encoded: EncodedChunk
) -> dict[str, Any]:
    chunk = encoded.chunk
    return {
        ORGANIZATION: address.organization_id,
        KNOWLEDGE_BASE: address.knowledge_base_id,
        FILE: address.file_id,
        FILE_REVISION: file_revision(address.file_id, address.revision),
        "revision": address.revision,
        "ordinal": chunk.ordinal,
        "text": chunk.text,
        "heading_path": list(chunk.heading_path),
        "page_start": chunk.page_start,
        "page_end": chunk.page_end,
        "char_start": chunk.char_start,
        "char_end": chunk.char_end,
        "ocr_confidence": chunk.ocr_confidence,
        "language": chunk.language,
        **attribute_fields(attributes),
    }


def stored_chunk(point: PointId, payload: Mapping[str, Any], *, model: str) -> StoredChunk:
    return StoredChunk(
        point_id=point,
        address=RevisionAddress(
            organization_id=payload[ORGANIZATION],
            knowledge_base_id=payload[KNOWLEDGE_BASE],
            file_id=payload[FILE],
            revision=payload["revision"],
            model=model,
        ),
        chunk=Chunk(
            ordinal=payload["ordinal"],
            text=payload["text"],
            heading_path=tuple(payload["heading_path"]),
            page_start=payload["page_start"],
            page_end=payload["page_end"],
            char_start=payload["char_start"],
            char_end=payload["char_end"],
            ocr_confidence=payload["ocr_confidence"],
            # Points from before languages were told apart do not say; their terms are English stems.
            language=payload.get("language", DEFAULT_LANGUAGE),
        ),
    )


def revision_count(collection: str, organization_id: str, keyword: str, points: int) -> RevisionCount:
    """Read a ``file_revision`` keyword back."""
    file_id, _, revision = keyword.rpartition(":")
    return RevisionCount(collection, organization_id, file_id, int(revision), points)
