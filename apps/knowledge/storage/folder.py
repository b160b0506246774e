"""Objects in a folder, behind signed URLs that the web process serves."""

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, cast

from django.core.files.storage import FileSystemStorage

from apps.base.errors import TooLarge
from apps.knowledge.storage.contracts import (
    AlreadyUploaded,
    ObjectCopy,
    ObjectMissing,
    ObjectReplaced,
    ObjectStat,
)
from apps.knowledge.storage.folder_parts import FolderParts
from apps.knowledge.storage.placing import full_disk_told, place, replace
from apps.knowledge.storage.signatures import Grant, url_for

INCOMING = ".incoming"
COPY_BYTES = 1024 * 1024
NO_LINKS = {errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP, errno.EXDEV}


class FolderStore(FileSystemStorage):
    """An object appears whole or not at all: bytes go to a temporary file, which is linked into place."""

    upload_urls_can_be_repeated = False  # the web process asks the file's row first

    def presign_put(self, key: str, *, content_type: str, seconds: int) -> str:
        return url_for(Grant("PUT", key, content_type, int(time.time()) + seconds))

    def presign_get(self, key: str, *, file_name: str, content_type: str, seconds: int) -> str:
        return url_for(Grant("GET", key, content_type, int(time.time()) + seconds, file_name))

    @property
    def multipart(self) -> FolderParts:
        return FolderParts(Path(self.location))

    def write(self, key: str, source: BinaryIO, *, content_type: str) -> None:  # noqa: ARG002 - kept by the row
        """Raises StoreFull."""
        with self._arriving() as arriving:
            with arriving.open("wb") as file:
                shutil.copyfileobj(source, file, COPY_BYTES)
                file.flush()
                os.fsync(file.fileno())
            replace(arriving, Path(self.path(key)))

    def copy(
        self,
        source: str,
        target: str,
        *,
        content_type: str,
        on_progress: Callable[[], object] = lambda: None,
    ) -> ObjectCopy:
        """A second name for the same bytes: nobody writes to an object that has its name, and the bytes stay until
        the last name is gone. Where the file system has no such names, or no more of them, a file of its own.

        Raises StoreFull too.
        """
        try:
            with Path(self.path(source)).open("rb") as bytes_of, full_disk_told():
                source_etag = _stat_of(os.fstat(bytes_of.fileno())).etag
                try:
                    self._link(bytes_of, Path(self.path(source)), Path(self.path(target)))
                except OSError as error:
                    if error.errno not in NO_LINKS:
                        raise
                    watched = cast(BinaryIO, _Watched(bytes_of, on_progress))
                    self.write(target, watched, content_type=content_type)
        except FileNotFoundError as error:
            raise ObjectMissing from error
        stat = self.stat(target)
        if stat is None:  # deleted in this moment
            raise ObjectMissing
        return ObjectCopy(source_etag, stat)

    def stat(self, key: str) -> ObjectStat | None:
        try:
            return _stat_of(Path(self.path(key)).stat())
        except FileNotFoundError:
            return None

    @contextmanager
    def local_copy(self, key: str, *, on_progress: Callable[[], object] = lambda: None) -> Iterator[Path]:  # noqa: ARG002 - nothing is copied
        path = Path(self.path(key))
        if not path.exists():
            raise ObjectMissing
        yield path

    def remove(self, key: str) -> None:
        path = Path(self.path(key))
        path.unlink(missing_ok=True)
        for folder in path.parents[:2]:  # …/files, …/<kb>: tidy, and harmless while others use them
            try:
                folder.rmdir()
            except OSError:
                break

    def keys(self, prefix: str = "") -> Iterator[str]:
        root = Path(self.location)
        for path in root.glob("orgs/*/kbs/*/files/*"):
            key = path.relative_to(root).as_posix()
            if key.startswith(prefix):
                yield key

    def receive(self, key: str, pieces: Iterable[bytes], *, max_bytes: int) -> ObjectStat:
        """Write an object from its pieces; it is on disk when this returns.

        Raises TooLarge, AlreadyUploaded, StoreFull; then nothing is left behind.
        """
        with self._arriving() as arriving:
            with arriving.open("wb") as file:
                size = 0
                for piece in pieces:
                    size += len(piece)
                    if size > max_bytes:
                        raise TooLarge(f"The upload is larger than the limit of {max_bytes} bytes.")
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            try:
                place(arriving, Path(self.path(key)))
            except FileExistsError as error:
                raise AlreadyUploaded from error
        stat = self.stat(key)
        if stat is None:
            raise ObjectMissing
        return stat

    def discard_incoming(self) -> None:
        """Remove what uploads left behind whose process was killed. Those of others that live are left alone."""
        for path in (Path(self.location) / INCOMING).glob("*"):
            with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()

    def _link(self, opened: BinaryIO, source: Path, target: Path) -> None:
        """Raises FileNotFoundError, ObjectReplaced."""
        try:
            place(source, target)
        except FileExistsError:  # by an attempt before this one
            if not target.samefile(source):
                target.unlink(missing_ok=True)
                place(source, target)
        if not os.path.samestat(target.stat(), os.fstat(opened.fileno())):
            raise ObjectReplaced

    @contextmanager
    def _arriving(self) -> Iterator[Path]:
        """A new file for bytes on their way, gone at the end wherever they are by then. Raises StoreFull."""
        incoming = Path(self.location) / INCOMING
        incoming.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=incoming)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # says that somebody is at it; ends with the process
            with full_disk_told():
                yield Path(name)
        finally:
            Path(name).unlink(missing_ok=True)
            os.close(descriptor)


class _Watched:
    """A file that is read to be copied, and who asks about that between two pieces."""

    def __init__(self, file: BinaryIO, on_progress: Callable[[], object]) -> None:
        self._file = file
        self._on_progress = on_progress

    def read(self, size: int = -1) -> bytes:
        self._on_progress()
        return self._file.read(size)


def _stat_of(found: os.stat_result) -> ObjectStat:
    return ObjectStat(found.st_size, f"{found.st_mtime_ns:x}-{found.st_size:x}")
