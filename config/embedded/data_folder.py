"""One data folder, one server."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FolderInUse(Exception):
    """Another server runs on this folder."""


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the kernel lets go when the process ends, however it ends.

    Raises FolderInUse.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # keys, files and the database are in it
    with (folder / "serve.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FolderInUse(f"Another server is running on {folder}.") from error
        yield


def own_temporary_folder(folder: Path) -> None:
    """Keep temporary files, uploads on their way above all, in the data folder: where its owner has made room
    for them, and where those of a server that was killed are found and removed."""
    temporary = folder / "tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
