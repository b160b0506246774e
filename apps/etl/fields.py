"""The fields of a file that conditions compare, by their names in the API.

Left out are those that change by themselves while a worker reads the file (updatedAt, progress, pagesDone): nobody
is told of it, so nothing could come to hold by it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from apps.base.texts import is_storable
from apps.knowledge.attribute_limits import MAX_METADATA_KEY_CHARS
from apps.knowledge.models import File
from apps.knowledge.statuses import EmbeddingMode, FileStatus

Value = str | int | float | bool | datetime | list[str] | None
METADATA = "metadata."


class Kind(Enum):
    TEXT = auto()
    NUMBER = auto()
    TIME = auto()
    CHOICE = auto()
    LIST = auto()
    ANY = auto()  # text, a number or a boolean: whatever somebody put there


@dataclass(frozen=True, slots=True)
class Field:
    kind: Kind
    read: Callable[[File], Value]
    choices: Sequence[str] = ()


def _page_count(file: File) -> Value:
    """Of what is read, when it was: while a worker counts, the count is not told."""
    return file.page_count if file.status == FileStatus.READY else None


_FIELDS = {
    "fileId": Field(Kind.TEXT, lambda file: file.pk),
    "knowledgeBaseId": Field(Kind.TEXT, lambda file: file.knowledge_base_id),
    "organizationId": Field(Kind.TEXT, lambda file: file.organization_id),
    "fileName": Field(Kind.TEXT, lambda file: file.file_name),
    "key": Field(Kind.TEXT, lambda file: file.key),
    "status": Field(Kind.CHOICE, lambda file: file.status, FileStatus.values),
    "statusMessage": Field(Kind.TEXT, lambda file: file.status_message),
    "errorCode": Field(Kind.TEXT, lambda file: file.error_code),
    "embeddingMode": Field(Kind.CHOICE, lambda file: file.embedding_mode, EmbeddingMode.values),
    "customInstructions": Field(Kind.TEXT, lambda file: file.custom_instructions),
    "externalFileUrl": Field(Kind.TEXT, lambda file: file.external_file_url),
    "creatorUserId": Field(Kind.TEXT, lambda file: file.creator_id),
    "createdAt": Field(Kind.TIME, lambda file: file.created_at),
    "contentType": Field(Kind.TEXT, lambda file: file.content_type),
    "sizeBytes": Field(Kind.NUMBER, lambda file: file.size_bytes),
    "pageCount": Field(Kind.NUMBER, _page_count),
    "chunkCount": Field(Kind.NUMBER, lambda file: file.chunk_count),
    "tags": Field(Kind.LIST, lambda file: list(file.tags)),
}
# What reading them needs of a file's row.
COLUMNS = (
    "organization_id", "knowledge_base_id", "file_name", "status", "status_message", "error_code", "embedding_mode",
    "custom_instructions", "external_file_url", "creator_id", "created_at", "content_type", "size_bytes", "page_count",
    "chunk_count", "tags", "metadata", "last_revision",
)  # fmt: skip
FIELD_NAMES = (*_FIELDS, f"{METADATA}<key>")


def field_named(name: str) -> Field:
    """``metadata.<key>`` is that key's value; a key may have dots. Raises KeyError for a field that there is not."""
    if name in _FIELDS:
        return _FIELDS[name]
    key = name.removeprefix(METADATA)
    if key == name or not key.strip() or len(key) > MAX_METADATA_KEY_CHARS or not is_storable(key):
        raise KeyError(name)
    return Field(Kind.ANY, lambda file: file.metadata.get(key))
