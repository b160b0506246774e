"""Pictures by OCR: PNG, JPEG, GIF, WEBP, TIFF, BMP, HEIC. Size is checked in the header, before anything is decoded."""

import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import pi_heif
from PIL import Image, ImageOps

from workers.pipeline.errors import Damaged, LimitExceeded
from workers.pipeline.parsing.blocks import ParsedPage, ParseOptions, Parser
from workers.pipeline.parsing.ocr import PictureReader

Result = TypeVar("Result")

# Pillow's way to HEIC: libheif, without previews and side pictures, in one thread.
pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)

# What Pillow's decoders raise for damaged input, all told.
_DECODER_ERRORS = (
    SyntaxError, ValueError, EOFError, LookupError, TypeError, ArithmeticError, struct.error, zlib.error, OSError
)  # fmt: skip


_ANIMATED = frozenset({"GIF", "WEBP", "PNG"})


def parse(path: Path, options: ParseOptions, *, image_format: str) -> Iterator[ParsedPage]:
    """One page; for several frames one each, numbered: a TIFF's are the pages of a document, those of an
    animation are read where they differ from the one before.

    Only ``image_format``'s decoder is tried: a file that is two things at once is what it was detected as.
    """
    max_pixels = options.limits.max_image_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Pillow's own guard, for what decoders allocate by themselves.
            Image.MAX_IMAGE_PIXELS = max_pixels
            with _decoded(partial(Image.open, path, formats=[image_format])) as picture:
                yield from _frames(picture, options)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise LimitExceeded(f"The image has more than {max_pixels:,} pixels, which is the limit.") from error


def _frames(picture: Image.Image, options: ParseOptions) -> Iterator[ParsedPage]:
    check_pixels(picture.size, options.limits.max_image_pixels)
    # A JPEG's further frames are previews and gain maps of the same picture.
    total = 1 if picture.format in {"JPEG", "MPO"} else _decoded(lambda: int(getattr(picture, "n_frames", 1)))
    if total > options.limits.max_pages:
        raise LimitExceeded(
            f"The image has {total:,} frames, more than the limit of {options.limits.max_pages:,}."
        )
    reader = PictureReader(options)
    previous = b""
    for index in range(total):
        if total > 1:
            _decoded(partial(picture.seek, index))
            check_pixels(picture.size, options.limits.max_image_pixels)
        frame = _decoded(partial(_upright, picture))
        number = index + 1 if total > 1 else None
        if total > 1 and picture.format in _ANIMATED:
            # Most frames of an animation show the text of the one before: those that look alike are skipped.
            look = frame.convert("L").resize((64, 64)).tobytes()
            if look == previous:
                yield ParsedPage(number, total, ())
                continue
            previous = look
        reading = reader.read(frame)
        yield ParsedPage(number, total, reading.blocks, reading.confidence if reading.blocks else None)


def _upright(picture: Image.Image) -> Image.Image:
    """The frame as the camera's orientation says it was held; decodes it."""
    return ImageOps.exif_transpose(picture)


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Raises LimitExceeded, naming both numbers."""
    width, height = size
    if width * height > max_pixels:
        raise LimitExceeded(
            f"The image has {width * height:,} pixels ({width:,} × {height:,}), more than the limit of "
            f"{max_pixels:,}. Upload a smaller version."
        )


def _decoded(step: Callable[[], Result]) -> Result:
    """The step's result. Raises Damaged for what Pillow's decoders make of broken data."""
    try:
        return step()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise
    except _DECODER_ERRORS as error:
        raise Damaged("The image is damaged or cut short. Upload an intact copy.") from error


parse_png: Parser = partial(parse, image_format="PNG")
parse_jpeg: Parser = partial(parse, image_format="JPEG")
parse_gif: Parser = partial(parse, image_format="GIF")
parse_webp: Parser = partial(parse, image_format="WEBP")
parse_tiff: Parser = partial(parse, image_format="TIFF")
parse_bmp: Parser = partial(parse, image_format="BMP")
parse_heic: Parser = partial(parse, image_format="HEIF")
