"""Objects in a folder, behind signed URLs that the web process serves."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from django.core.files.storage import FileSystemStorage

from apps.base.errors import TooLarge
from apps.knowledge.storage.contracts import AlreadyUploaded, ObjectMissing, ObjectStat
from apps.knowledge.storage.folder_parts import FolderParts
from apps.knowledge.storage.placing import full_disk_told, place, replace
from apps.knowledge.storage.signatures import Grant, url_for

INCOMING = ".incoming"
COPY_BYTES = 1024 * 1024


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

    def stat(self, key: str) -> ObjectStat | None:
        try:
            found = Path(self.path(key)).stat()
        except FileNotFoundError:
            return None
        return ObjectStat(found.st_size, f"{found.st_mtime_ns:x}-{found.st_size:x}")

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
