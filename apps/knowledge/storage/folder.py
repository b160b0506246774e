"""Objects in a folder, behind signed URLs that the web process serves."""

import errno
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.core.files.storage import FileSystemStorage

from apps.base.errors import Conflict, TooLarge
from apps.knowledge.storage.contracts import ObjectMissing, ObjectStat, StoreFull
from apps.knowledge.storage.signatures import Grant, seal

INCOMING = ".incoming"


class AlreadyUploaded(Conflict):
    code = "already_uploaded"
    default_message = "This upload URL was used already. Ask for a new one."


class FolderStore(FileSystemStorage):
    """An object appears whole or not at all: bytes go to a temporary file, which is linked into place."""

    upload_urls_can_be_repeated = False  # the web process asks the file's row first

    def presign_put(self, key: str, *, content_type: str, seconds: int) -> str:
        return self._sign(Grant("PUT", key, content_type, int(time.time()) + seconds))

    def presign_get(self, key: str, *, file_name: str, content_type: str, seconds: int) -> str:
        return self._sign(Grant("GET", key, content_type, int(time.time()) + seconds, file_name))

    def stat(self, key: str) -> ObjectStat | None:
        try:
            found = Path(self.path(key)).stat()
        except FileNotFoundError:
            return None
        return ObjectStat(found.st_size, f"{found.st_mtime_ns:x}-{found.st_size:x}")

    @contextmanager
    def local_copy(self, key: str) -> Iterator[Path]:
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
        incoming = Path(self.location) / INCOMING
        incoming.mkdir(parents=True, exist_ok=True)
        target = Path(self.path(key))
        descriptor, name = tempfile.mkstemp(dir=incoming)
        try:
            with os.fdopen(descriptor, "wb") as file:
                size = 0
                for piece in pieces:
                    size += len(piece)
                    if size > max_bytes:
                        raise TooLarge(f"The upload is larger than the limit of {max_bytes} bytes.")
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            _link(name, target)
        except FileExistsError as error:
            raise AlreadyUploaded from error
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StoreFull from error
            raise
        finally:
            Path(name).unlink(missing_ok=True)
        stat = self.stat(key)
        if stat is None:
            raise ObjectMissing
        return stat

    def discard_incoming(self) -> None:
        """Remove what uploads left behind that a killed server was receiving. None may be under way."""
        for path in (Path(self.location) / INCOMING).glob("*"):
            path.unlink(missing_ok=True)

    def _sign(self, grant: Grant) -> str:
        return f"{settings.PUBLIC_URL}/objects/{quote(grant.key)}?token={seal(grant)}"


def _link(name: str, target: Path) -> None:
    """Put the file in its place, durably. Raises FileExistsError: it replaces nothing, which a rename would."""
    for is_last in (False, False, True):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(name, target)
            break
        except FileNotFoundError:  # the deletion of its last object took the folder away in this moment
            if is_last:
                raise
    with suppress(FileNotFoundError):  # as well
        _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Make a new directory entry survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
