"""What lies in a folder, and which of it can be imported."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from apps.knowledge import media_types
from apps.knowledge.naming import presentable

MAX_PATH_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file to be imported. ``import_path`` is its path from the folder that is imported, that folder's name
    included, with ``/`` between; bytes that are no UTF-8 are spelled ``\\xff``, and a backslash is doubled."""

    path: Path
    import_path: str
    file_name: str
    content_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Skipped:
    import_path: str
    reason: str


def walk(root: Path, *, name: str, max_bytes: int) -> Iterator[Candidate | Skipped]:
    """Everything below ``root``, in the order of names. Symbolic links are not followed."""
    try:
        entries = sorted(os.scandir(root), key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        yield Skipped(name, f"can't be read ({error.strerror})")
        return
    for entry in entries:
        path = f"{name}/{_text(entry.name)}"
        if entry.name.startswith("."):
            yield Skipped(path, "hidden")
        elif entry.is_symlink():
            yield Skipped(path, "a symbolic link")
        elif len(path) > MAX_PATH_CHARS:
            yield Skipped(path, f"its path is longer than {MAX_PATH_CHARS} characters")
        elif entry.is_dir(follow_symlinks=False):
            yield from walk(Path(entry.path), name=path, max_bytes=max_bytes)
        else:
            yield _judge(Path(entry.path), path, max_bytes)


def _judge(path: Path, import_path: str, max_bytes: int) -> Candidate | Skipped:
    media_type = media_types.find_by_file_name(path.name)
    if media_type is None:
        return Skipped(import_path, "its type is not supported")
    try:
        found = path.lstat()
    except OSError as error:
        return Skipped(import_path, f"can't be read ({error.strerror})")
    if not stat.S_ISREG(found.st_mode):
        return Skipped(import_path, "not a regular file")
    if found.st_size == 0:
        return Skipped(import_path, "empty")
    if found.st_size > max_bytes:
        return Skipped(import_path, f"larger than the limit of {max_bytes} bytes")
    file_name = presentable(os.fsencode(path.name).decode(errors="replace"))
    return Candidate(path, import_path, file_name, media_type.name, found.st_size)


def _text(name: str) -> str:
    return os.fsencode(name).replace(b"\\", b"\\\\").decode(errors="backslashreplace")
