"""The limits of a parse, from the settings."""

from django.conf import settings

from workers.pipeline.parsing.blocks import ParseLimits


def parse_limits() -> ParseLimits:
    return ParseLimits(
        timeout_seconds=settings.PARSE_TIMEOUT_SECONDS,
        memory_bytes=settings.PARSE_MEMORY_BYTES,
        max_pages=settings.MAX_PAGES,
        max_image_pixels=settings.MAX_IMAGE_PIXELS,
        max_text_chars=settings.MAX_TEXT_CHARS,
    )
