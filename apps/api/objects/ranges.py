"""Serving a file from disk, whole or one range of it, without holding it in memory or a thread."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import BinaryIO

from asgiref.sync import sync_to_async

from apps.api.objects.errors import UnsatisfiableRange

PIECE_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """``start`` inclusive, ``stop`` exclusive."""

    start: int
    stop: int

    @property
    def size_bytes(self) -> int:
        return self.stop - self.start


def read_range(header: str, *, size_bytes: int) -> ByteRange | None:
    """The range that a Range header asks for. None when it asks for none, or for several, or can't be read:
    then the whole file is right (RFC 9110, 14.2).

    Raises UnsatisfiableRange.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:  # the last so many bytes
        start, stop = max(0, size_bytes - int(last)), size_bytes
    else:
        start, stop = int(first), min(size_bytes, int(last) + 1 if last else size_bytes)
        if last and int(last) < int(first):
            return None
    if start >= size_bytes:
        raise UnsatisfiableRange
    return ByteRange(start, stop)


class FilePieces:
    """The bytes of an open file as an asynchronous iterable, read in the thread pool. Closes the file."""

    def __init__(self, file: BinaryIO, wanted: ByteRange) -> None:
        self._file = file
        self._wanted = wanted

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = sync_to_async(self._read, thread_sensitive=False)
        position = self._wanted.start
        while position < self._wanted.stop:
            piece = await read(position)
            if not piece:
                return
            position += len(piece)
            yield piece

    def _read(self, position: int) -> bytes:
        self._file.seek(position)
        return self._file.read(min(PIECE_BYTES, self._wanted.stop - position))

    def close(self) -> None:
        """Called by the response, also when nobody iterated."""
        self._file.close()
