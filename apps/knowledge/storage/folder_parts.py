"""Uploads in parts, in a folder: each part is written straight to its place in what becomes the object.

Below ``.multipart/<key>/<upload id>/`` are ``content``, a file with holes where parts are missing, and for each part
that is whole on disk an empty file that says so by its name. Putting the parts together is then a rename, at any
size, and takes no room.
"""

import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from apps.base.errors import TooLarge
from apps.knowledge.storage.contracts import AlreadyUploaded, Part, PartClaim, PartsRefused, UploadMissing
from apps.knowledge.storage.placing import full_disk_told, in_folder_of, place, sync_folder
from apps.knowledge.storage.signatures import Grant, url_for

MULTIPART = ".multipart"
CONTENT = "content"


class FolderParts:
    def __init__(self, root: Path) -> None:
        self._root = root

    def begin(self, key: str, *, content_type: str, part_bytes: int) -> str:  # noqa: ARG002 - kept by the row
        upload_id = f"{part_bytes}-{secrets.token_hex(12)}"
        folder = self._folder(key, upload_id)
        with full_disk_told():
            in_folder_of(folder, folder.mkdir)
            (folder / CONTENT).touch()
            sync_folder(folder)
        return upload_id

    def presign_part(self, key: str, upload_id: str, number: int, *, seconds: int) -> str:
        return url_for(
            Grant("PUT", key, "", int(time.time()) + seconds, upload_id=upload_id, part_number=number)
        )

    def receive(self, key: str, upload_id: str, number: int, pieces: Iterable[bytes]) -> Part:
        """Write a part from its pieces; it is on disk when this returns.

        Raises TooLarge, UploadMissing, AlreadyUploaded, StoreFull; then the part is missing.
        """
        room = part_bytes_of(upload_id)
        with self._locked(key, upload_id) as content, full_disk_told():
            folder = self._folder(key, upload_id)
            self._forget(folder, number)
            content.seek((number - 1) * room)
            digest, size = hashlib.md5(usedforsecurity=False), 0  # what S3 gives a part for an ETag
            for piece in pieces:
                size += len(piece)
                if size > room:
                    raise TooLarge(f"A part of this upload has {room} bytes at most.")
                content.write(piece)
                digest.update(piece)
            content.flush()
            os.fsync(content.fileno())
            part = Part(number, size, digest.hexdigest())
            (folder / _name(part)).touch()
            sync_folder(folder)
        return part

    def parts(self, key: str, upload_id: str) -> list[Part]:
        folder = self._folder(key, upload_id)
        if not (folder / CONTENT).exists():
            raise UploadMissing
        return sorted(map(_part, folder.glob("*.*.*")))

    def complete(self, key: str, upload_id: str, parts: Sequence[PartClaim]) -> None:
        try:
            with self._locked(key, upload_id) as content:
                size = self._check(key, upload_id, parts)
                self._forget_behind(key, upload_id, len(parts))
                content.truncate(size)
                os.fsync(content.fileno())
                place(self._folder(key, upload_id) / CONTENT, self._root / key)
        except AlreadyUploaded:
            pass  # and the process ended before it could tidy up
        self.abort(key, upload_id)

    def abort(self, key: str, upload_id: str) -> None:
        folder = self._folder(key, upload_id)
        with ExitStack() as stack:
            with suppress(UploadMissing, AlreadyUploaded):
                stack.enter_context(self._locked(key, upload_id))  # not under the hands of one that writes
            shutil.rmtree(folder, ignore_errors=True)
        for parent in list(folder.parents)[: 1 + key.count("/")]:
            try:
                parent.rmdir()
            except OSError:  # others are in it
                break

    def unfinished(self, prefix: str = "") -> Iterator[tuple[str, str]]:
        root = self._root / MULTIPART
        for folder in root.glob("orgs/*/kbs/*/files/*/*"):
            key = folder.parent.relative_to(root).as_posix()
            if key.startswith(prefix):
                yield key, folder.name

    def _folder(self, key: str, upload_id: str) -> Path:
        return self._root / MULTIPART / key / upload_id

    @contextmanager
    def _locked(self, key: str, upload_id: str) -> Iterator[BinaryIO]:
        """``content``, with nobody else writing to it. Raises UploadMissing, and AlreadyUploaded: from then on
        it is the object itself, and nothing may be written to it."""
        try:
            content = (self._folder(key, upload_id) / CONTENT).open("r+b")
        except FileNotFoundError as error:
            raise UploadMissing from error
        with content:
            fcntl.flock(content, fcntl.LOCK_EX)
            if (self._root / key).exists():
                raise AlreadyUploaded
            if os.fstat(content.fileno()).st_nlink == 0:
                raise UploadMissing
            yield content

    def _forget(self, folder: Path, number: int) -> None:
        """A part that is overwritten is not whole until the end of that, whatever comes in between."""
        for old in folder.glob(f"{number:05}.*"):
            old.unlink()
            sync_folder(folder)

    def _forget_behind(self, key: str, upload_id: str, last: int) -> None:
        """Parts that the end cuts off are whole no more, should it have to be tried again with another list."""
        for part in self.parts(key, upload_id):
            if part.number > last:
                self._forget(self._folder(key, upload_id), part.number)

    def _check(self, key: str, upload_id: str, claims: Sequence[PartClaim]) -> int:
        """The size of the whole. Raises PartsRefused."""
        room = part_bytes_of(upload_id)
        arrived = {part.number: part for part in self.parts(key, upload_id)}
        size = 0
        for position, claim in enumerate(claims, start=1):
            part = arrived.get(claim.number)
            if part is None or part.number != position or part.etag != claim.etag:
                raise PartsRefused(f"Part {position} has not arrived, or has another ETag.")
            if part.size_bytes != room and position < len(claims):
                raise PartsRefused(
                    f"Part {position} has {part.size_bytes} bytes; all but the last have {room}."
                )
            size += part.size_bytes
        return size


def part_bytes_of(upload_id: str) -> int:
    return int(upload_id.partition("-")[0])


def _name(part: Part) -> str:
    return f"{part.number:05}.{part.size_bytes}.{part.etag}"


def _part(path: Path) -> Part:
    number, size, etag = path.name.split(".")
    return Part(int(number), int(size), etag)
