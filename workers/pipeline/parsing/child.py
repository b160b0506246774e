"""The child process of one parse: it confines itself, parses, streams its pages, and exits.

It is forked from the zygote for each file, so that no file sees anything of another, and leaves nothing.
"""

import ctypes
import os
import resource
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from workers.pipeline.errors import LimitExceeded, NoText, ParseError, ParserCrashed
from workers.pipeline.parsing import wire
from workers.pipeline.parsing.blocks import ParsedPage, ParseLimits, ParseOptions
from workers.pipeline.parsing.registry import load_parser
from workers.pipeline.parsing.sanitize import sanitize_page

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
# The worker's clock decides; this ends a child whose worker and zygote can't, and what it has started.
_CPU_SECONDS_PER_WALL_SECOND = 4
_MAX_WRITTEN_BYTES = 2 * 1024**3
_MAX_OPEN_FILES = 256
# A child that dies by a signal this near to its memory limit died of it: C libraries abort, or fall over
# the null pointer they were given.
_NEAR_MEMORY_LIMIT = 0.7


def memory_limit_error(limits: ParseLimits) -> LimitExceeded:
    megabytes = limits.memory_bytes // 1024**2
    return LimitExceeded(f"Reading the file needs more than {megabytes:,} MB of memory, which is the limit.")


def time_limit_error(limits: ParseLimits) -> LimitExceeded:
    return LimitExceeded(
        f"Reading the file took longer than {limits.timeout_seconds:g} seconds, which is the limit."
    )


def cause_of_death(died_by: int, peak_bytes: int, limits: ParseLimits) -> ParseError:
    """What became of a child that fell silent: ``died_by`` is the signal that ended it, 0 for none."""
    if died_by == signal.SIGXCPU:
        return time_limit_error(limits)
    # Nobody of ours sent this SIGKILL: it was the kernel, for want of memory.
    if died_by == signal.SIGKILL or (died_by and peak_bytes > _NEAR_MEMORY_LIMIT * limits.memory_bytes):
        return memory_limit_error(limits)
    return ParserCrashed()


def run(request: wire.Message, output: int, scratch: str) -> NoReturn:
    """Parse as ``request`` says and exit the process, never returning into the zygote's code.

    ``output`` is the descriptor that frames go to, ``scratch`` a folder that is removed afterwards.
    """
    code = 1
    try:
        options = wire.options_from_json(request["options"])
        _confine(options.limits, scratch)
        _answer(request, options, output)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)  # no handlers of the zygote's, no flushing of its buffers


def _confine(limits: ParseLimits, scratch: str) -> None:
    # The private writable memory, which is what a bomb fills. Not the address space: libraries reserve
    # gigabytes of that and use none of it.
    resource.setrlimit(resource.RLIMIT_DATA, (limits.memory_bytes, limits.memory_bytes))
    cpu_seconds = int(limits.timeout_seconds * _CPU_SECONDS_PER_WALL_SECOND) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MAX_WRITTEN_BYTES, _MAX_WRITTEN_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_OPEN_FILES, _MAX_OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.environ["TMPDIR"] = scratch
    tempfile.tempdir = scratch
    os.chdir(scratch)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent is gone (Linux). Call it right after the fork."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        os._exit(1)


def _answer(request: wire.Message, options: ParseOptions, output: int) -> None:
    with os.fdopen(output, "wb") as stream:
        # What a MemoryError is answered with must not need memory itself.
        out_of_memory = wire.encode(wire.error_message(memory_limit_error(options.limits)))
        try:
            parser = load_parser(request["parser"])
            for page in _guarded(parser(Path(request["path"]), options), options.limits):
                stream.write(wire.encode(wire.page_message(page)))
                stream.flush()  # the pipe is small: a worker that embeds slowly slows the parser down
            answer = wire.encode({"end": True})
        except ParseError as error:
            answer = wire.encode(wire.error_message(error))
        except MemoryError:
            answer = out_of_memory
        except BrokenPipeError:
            return  # the worker has lost interest
        except Exception:
            answer = wire.encode({"crash": traceback.format_exc(limit=-12)})
        stream.write(answer)
        stream.flush()


def _guarded(pages: Iterator[ParsedPage], limits: ParseLimits) -> Iterator[ParsedPage]:
    """The pages, sanitized and counted. Raises LimitExceeded, and NoText if none had any text."""
    chars = 0
    for count, raw_page in enumerate(pages, start=1):
        page = sanitize_page(raw_page)
        chars += sum(len(block.text) for block in page.blocks)
        if page.number is not None and count > limits.max_pages:
            raise LimitExceeded(f"The file has more than {limits.max_pages:,} pages, which is the limit.")
        if chars > limits.max_text_chars:
            raise LimitExceeded(
                f"The file has more than {limits.max_text_chars:,} characters of text, which is the limit."
            )
        yield page
    if chars == 0:
        raise NoText
