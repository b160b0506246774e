"""Putting a finished file in its place, so that it survives a power cut and is never seen half."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from apps.knowledge.storage.contracts import StoreFull


def place(source: Path, target: Path) -> None:
    """Give a file that is on disk its name. Raises FileExistsError: it replaces nothing."""
    in_folder_of(target, lambda: os.link(source, target))


def replace(source: Path, target: Path) -> None:
    """The same, in place of what was there; who has the old file open goes on reading that."""
    in_folder_of(target, lambda: source.replace(target))


def in_folder_of(target: Path, act: Callable[[], object]) -> None:
    """Do what makes ``target`` while its folder is there, and make that survive too."""
    for is_last in (False, False, True):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            act()
            break
        except FileNotFoundError:  # the deletion of its last object took the folder away in this moment
            if is_last:
                raise
    with suppress(FileNotFoundError):  # as well
        sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make new and removed directory entries survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def full_disk_told() -> Iterator[None]:
    """Raises StoreFull for what the system calls a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull from error
        raise
