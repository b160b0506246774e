"""The embedded index's folder: one owner, numbered generations of the data, one of which is current."""

import errno
import fcntl
import logging
import os
import shutil
import time
from pathlib import Path

from apps.retrieval.errors import IndexLocked, IndexUnavailable

logger = logging.getLogger(__name__)

LOCK_POLL_SECONDS = 0.1


class GenerationFolder:
    """``<path>/CURRENT`` names the generation in use; every other ``gen-…`` is left over from a crash.

    The name changes by an atomic rename, after the new generation was synced: whenever the process
    dies or the power goes, CURRENT names a whole one. ``CHANGED`` holds how much of it changed since it was optimized.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_file: int | None = None
        # Kept open: syncing a rename must not fail for want of a descriptor.
        self._folder_file: int | None = None

    def acquire(self, wait_seconds: float) -> None:
        """Become the folder's owner, until release or the death of the process.

        Raises IndexLocked when another owner has not gone after ``wait_seconds``.
        """
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._lock_file = os.open(self._path / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._folder_file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self.release()
            raise IndexUnavailable(f"The vector folder cannot be opened: {error.strerror}.") from error
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    self.release()
                    raise IndexLocked from None
                time.sleep(LOCK_POLL_SECONDS)

    def release(self) -> None:
        for descriptor in (self._folder_file, self._lock_file):
            if descriptor is not None:
                os.close(descriptor)
        self._folder_file = self._lock_file = None

    @property
    def current(self) -> Path | None:
        """The generation in use, or None in a folder that has none yet."""
        pointer = self._path / "CURRENT"
        return self._path / pointer.read_text().strip() if pointer.exists() else None

    def next_generation(self) -> Path:
        """Return where the next generation goes; nothing is there yet."""
        current = self.current
        number = int(current.name.removeprefix("gen-")) + 1 if current else 1
        path = self._path / f"gen-{number:06d}"
        shutil.rmtree(path, ignore_errors=True)
        return path

    def make_current(self, generation: Path) -> None:
        """Point CURRENT at a generation that ``sync_folder`` brought to the disk.

        Raises OSError, and CURRENT is then as it was: whatever fails after the rename only delays ``discard_others``.
        """
        draft = self._path / "CURRENT.new"
        with draft.open("w") as file:
            file.write(generation.name)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path / "CURRENT")
        self._sync_names()

    def discard_others(self) -> None:
        """Delete every generation but the current one; none while the disk may hold a CURRENT that names another."""
        if not self._sync_names():
            return
        current = self.current
        for path in self._path.glob("gen-*"):
            if path != current:
                shutil.rmtree(path, ignore_errors=True)

    @property
    def changed_points(self) -> int | None:
        """What was remembered last, or None where nothing was, or nothing that can be read."""
        try:
            return int((self._path / "CHANGED").read_text())
        except (OSError, ValueError):
            return None

    def remember_changed_points(self, count: int) -> None:
        """Not synced: the number decides when to optimize, and nothing else. Raises IndexUnavailable."""
        draft = self._path / "CHANGED.new"
        try:
            draft.write_text(str(count))
            draft.replace(self._path / "CHANGED")
        except OSError as error:
            raise IndexUnavailable(f"The vector folder cannot be written to: {error.strerror}.") from error

    def _sync_names(self) -> bool:
        """Bring CURRENT's rename to the disk, and return whether it is there: nobody can take it back."""
        assert self._folder_file is not None  # noqa: S101 - the owner's, until it releases the folder
        try:
            os.fsync(self._folder_file)
        except OSError:
            logger.exception("%s could not be synced: former generations are kept.", self._path)
            return False
        return True


def sync_folder(path: Path) -> None:
    """Bring all of a folder that nobody writes to onto the disk: the engine flushes what it changed, not what was
    copied. Raises OSError."""
    for each in (path, *path.rglob("*")):
        descriptor = os.open(each, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def copy_folder(source: Path, target: Path) -> None:
    """Copy a generation that nobody writes to. Holes stay holes, which are more than half of a small one's files, and
    file systems that can (XFS, Btrfs) share the blocks instead of copying them. Raises OSError."""
    shutil.copytree(source, target, copy_function=_copy_file)


def _copy_file(source: str, target: str) -> None:
    try:
        _copy_filled(source, target)
    except (OSError, AttributeError):  # a system, or a file system, that offers none of this
        shutil.copyfile(source, target)


def _copy_filled(source: str, target: str) -> None:
    with Path(source).open("rb") as reader, Path(target).open("wb") as writer:
        size = os.fstat(reader.fileno()).st_size
        writer.truncate(size)
        end = 0
        while end < size:
            try:
                start = os.lseek(reader.fileno(), end, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return  # nothing but a hole is left
                raise
            end = os.lseek(reader.fileno(), start, os.SEEK_HOLE)
            while start < end:
                copied = os.copy_file_range(reader.fileno(), writer.fileno(), end - start, start, start)
                if not copied:
                    raise OSError("The file has become shorter.")
                start += copied
