"""Parsers that behave as badly as a parser can: test_process.py runs them in the child."""

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from apps.knowledge.media_types import PLAIN_TEXT
from workers.pipeline.errors import Damaged
from workers.pipeline.parsing import eml
from workers.pipeline.parsing.blocks import Block, BlockKind, ParsedPage, ParseOptions, Parser
from workers.pipeline.parsing.registry import PARSERS


def _page(number: int, total: int, text: str) -> ParsedPage:
    return ParsedPage(number, total, (Block(BlockKind.PARAGRAPH, text),))


def hang(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    yield _page(1, 2, f"child {os.getpid()}")
    while True:
        time.sleep(60)


def trickle(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    """Pages come one by one, each sooner than anybody's patience ends."""
    for number in range(1, 51):
        yield _page(number, 50, "drop")
        time.sleep(0.1)


def burn(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    """Hangs in C, where no signal handler and no thread of Python's gets a turn."""
    yield _page(1, 2, "before")
    ctypes.PyDLL(None).sleep(60)


def hog(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    yield _page(1, 2, "before")
    hoard = []
    while True:
        hoard.append(bytearray(os.urandom(1024)) * (16 * 1024))


def hog_in_c(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    """Allocates as a C library does, and aborts as many do when they get no more."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    yield _page(1, 2, "before")
    size = 16 * 1024**2
    while block := libc.malloc(size):
        ctypes.memset(block, 1, size)
    os.abort()


def segfault(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    yield _page(1, 2, "before")
    ctypes.string_at(0)


def bug(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    yield _page(1, 2, "before")
    raise KeyError("a bug of the parser's")


def damaged(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    yield _page(1, 2, "before")
    raise Damaged("The third wheel is missing.")


def grandchild(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    """Starts a program, as OCR does, and waits for it."""
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield _page(1, 2, f"{os.getpid()} {program.pid}")
    program.wait()


def surroundings(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    """What a parser can see: the environment, open descriptors, imported modules; and where it may write."""
    names = sorted(os.environ)
    descriptors = sorted(int(name) for name in os.listdir("/proc/self/fd"))  # noqa: PTH208
    modules = sorted(name for name in sys.modules if name.split(".")[0] in {"django", "celery", "torch"})
    Path("scratch.txt").write_text("left behind", encoding="utf-8")
    yield _page(1, 4, " ".join(names))
    yield _page(2, 4, str(len(descriptors)))
    yield _page(3, 4, " ".join(modules) or "none")
    yield _page(4, 4, str(Path.cwd()))


def flood(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    """Pages faster than anyone reads; each says how many were made before it."""
    for number in range(1, 301):
        yield _page(number, 300, f"{number} " + "x" * 100_000)


def dirty_text(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
    yield _page(1, 1, "caf\u0065\u0301 \x00\ud800 end  \r\n\r\n\r\n\r\nnext")


def _eml_with(name: str) -> Parser:
    """The parser of messages, where attached text files are read by the parser ``name`` here."""

    def parse(path: Path, options: ParseOptions) -> Iterator[ParsedPage]:
        PARSERS[PLAIN_TEXT] = f"{__name__}.{name}"
        yield from eml.parse(path, options)

    return parse


eml_with_hang = _eml_with("hang")
eml_with_hog = _eml_with("hog")
eml_with_hog_in_c = _eml_with("hog_in_c")
eml_with_segfault = _eml_with("segfault")
