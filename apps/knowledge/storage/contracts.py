"""What an object store must do for us, whatever it is made of."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from apps.base.errors import CommonplaceError, TemporarilyUnavailable


class ObjectMissing(CommonplaceError):
    code = "object_missing"
    http_status = 404
    default_message = "The file's content is not in the object store. Upload it again."


class StoreUnavailable(TemporarilyUnavailable):
    code = "object_store_unavailable"
    default_message = "The object store does not answer."


class StoreFull(CommonplaceError):
    code = "storage_full"
    http_status = 507
    retryable = True
    default_message = "The object store has no room left. Nothing was saved; tell your operator."


@dataclass(frozen=True, slots=True)
class ObjectStat:
    size_bytes: int
    etag: str


class ObjectStore(Protocol):
    """Keys are those of ``object_keys``. Every call may raise StoreUnavailable."""

    upload_urls_can_be_repeated: bool
    """Whether a signed PUT works again, until it expires, after the object is there or was deleted."""

    def presign_put(self, key: str, *, content_type: str, seconds: int) -> str:
        """A URL that takes one PUT of the bytes, with this Content-Type, within ``seconds``."""
        ...

    def presign_get(self, key: str, *, file_name: str, content_type: str, seconds: int) -> str:
        """A URL that serves the bytes as a download named ``file_name``, within ``seconds``."""
        ...

    def stat(self, key: str) -> ObjectStat | None:
        """What is there, or None."""
        ...

    def local_copy(self, key: str) -> AbstractContextManager[Path]:
        """The bytes as a local file, while the context lasts. Raises ObjectMissing."""
        ...

    def remove(self, key: str) -> None:
        """Delete the object; one that is not there is no error."""
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key that starts with ``prefix``, in no order."""
        ...
