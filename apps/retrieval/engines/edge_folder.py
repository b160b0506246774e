"""The embedded index's folder: one owner, numbered generations of the data, one of which is current."""

import errno
import fcntl
import os
import shutil
import time
from pathlib import Path

from apps.retrieval.errors import IndexLocked, IndexUnavailable

LOCK_POLL_SECONDS = 0.1


class GenerationFolder:
    """``<path>/CURRENT`` names the generation in use; every other ``gen-…`` is left over from a crash.

    The name changes by an atomic rename, after the new generation was flushed: whenever the process
    dies, CURRENT names a whole one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_file: int | None = None

    def acquire(self, wait_seconds: float) -> None:
        """Become the folder's owner, until release or the death of the process.

        Raises IndexLocked when another owner has not gone after ``wait_seconds``.
        """
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise IndexUnavailable(f"The vector folder cannot be opened: {error.strerror}.") from error
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(descriptor)
                    raise IndexLocked from None
                time.sleep(LOCK_POLL_SECONDS)
            else:
                self._lock_file = descriptor
                return

    def release(self) -> None:
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

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
        """Point CURRENT at a flushed generation, durably."""
        draft = self._path / "CURRENT.new"
        with draft.open("w") as file:
            file.write(generation.name)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path / "CURRENT")
        directory = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def discard_others(self) -> None:
        """Delete every generation but the current one."""
        current = self.current
        for path in self._path.glob("gen-*"):
            if path != current:
                shutil.rmtree(path, ignore_errors=True)


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
