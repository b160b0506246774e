"""What an object store must do for us, whatever it is made of."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from apps.base.errors import CommonplaceError, Conflict, TemporarilyUnavailable, ValidationFailed

# What S3 allows, and therefore what is asked of every store.
MIN_PART_BYTES = 5 * 1024 * 1024
MAX_PARTS = 10_000


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


class AlreadyUploaded(Conflict):
    code = "already_uploaded"
    default_message = "This upload URL was used already. Ask for a new one."


class UploadMissing(Conflict):
    """The parts were put together already, or removed."""

    code = "upload_over"
    default_message = "This upload in parts is over. Ask for a new upload URL."


class PartsRefused(ValidationFailed):
    code = "invalid_parts"
    default_message = "The parts do not make up a file: a part is missing, too small, or has another ETag."


class ObjectReplaced(TemporarilyUnavailable):
    code = "object_replaced"
    default_message = "The file's content was replaced while it was copied."


@dataclass(frozen=True, slots=True)
class ObjectStat:
    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class ObjectCopy:
    """``source_etag`` names the bytes that were copied; ``stat`` is of the copy, whose ETag may be another."""

    source_etag: str
    stat: ObjectStat


class Part(NamedTuple):
    """A part that arrived; ``etag`` is what its PUT answered, without the quotation marks."""

    number: int
    size_bytes: int
    etag: str


class PartClaim(NamedTuple):
    """A part as the client lists it, to have the parts put together."""

    number: int
    etag: str


class MultipartStore(Protocol):
    """Objects that come in parts: numbered from 1, at most ``MAX_PARTS``, each but the last of the same size,
    which is ``MIN_PART_BYTES`` at least. Every call may raise StoreUnavailable."""

    def begin(self, key: str, *, content_type: str, part_bytes: int) -> str:
        """The id of a new upload."""
        ...

    def presign_part(self, key: str, upload_id: str, number: int, *, seconds: int) -> str:
        """A URL that takes PUTs of this part, the last of which counts, within ``seconds``."""
        ...

    def parts(self, key: str, upload_id: str) -> list[Part]:
        """Those that arrived, in order. Raises UploadMissing."""
        ...

    def complete(self, key: str, upload_id: str, parts: Sequence[PartClaim]) -> None:
        """Make these parts the object, all at once or not at all; safe to repeat after a fault.

        Raises PartsRefused, with the parts still there, and UploadMissing.
        """
        ...

    def abort(self, key: str, upload_id: str) -> None:
        """Remove the parts; an upload that is not there is no error."""
        ...

    def unfinished(self, prefix: str = "") -> Iterator[tuple[str, str]]:
        """Key and id of every upload whose key starts with ``prefix``, in no order."""
        ...


class ObjectStore(Protocol):
    """Keys are those of ``object_keys``. Every call may raise StoreUnavailable."""

    upload_urls_can_be_repeated: bool
    """Whether a signed PUT works again, until it expires, after the object is there or was deleted."""

    @property
    def multipart(self) -> MultipartStore: ...

    def presign_put(self, key: str, *, content_type: str, seconds: int) -> str:
        """A URL that takes one PUT of the bytes, with this Content-Type, within ``seconds``."""
        ...

    def presign_get(self, key: str, *, file_name: str, content_type: str, seconds: int) -> str:
        """A URL that serves the bytes as a download named ``file_name``, within ``seconds``."""
        ...

    def write(self, key: str, source: BinaryIO, *, content_type: str) -> None:
        """Store what ``source`` holds from where it stands, in place of what was there, all at once."""
        ...

    def copy(
        self, source: str, target: str, *, content_type: str, on_progress: Callable[[], object] = lambda: None
    ) -> ObjectCopy:
        """Store the object under another key too, in place of what was there, all at once, by the store itself.

        ``on_progress`` is called now and then in this thread; what it raises ends the copying. Safe to repeat.
        Raises ObjectMissing, ObjectReplaced.
        """
        ...

    def stat(self, key: str) -> ObjectStat | None:
        """What is there, or None."""
        ...

    def local_copy(
        self, key: str, *, on_progress: Callable[[], object] = lambda: None
    ) -> AbstractContextManager[Path]:
        """The bytes as a local file, while the context lasts. Raises ObjectMissing.

        ``on_progress`` is called every few megabytes while they come; what it raises ends the copying.
        """
        ...

    def remove(self, key: str) -> None:
        """Delete the object; one that is not there is no error."""
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key that starts with ``prefix``, in no order."""
        ...
