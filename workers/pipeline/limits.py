"""The limits of a parse: the server's settings, narrowed by the organization's plan."""

from apps.orgs.allowances import allowances_of
from workers.pipeline.parsing.blocks import ParseLimits

# The tree of an XML part takes up to some twenty times its text; an archive holds more than one large part.
EXPANDED_SHARE_OF_MEMORY = 8


def parse_limits(organization_id: str) -> ParseLimits:
    allowed = allowances_of(organization_id)
    return ParseLimits(
        timeout_seconds=allowed.parse_timeout_seconds,
        memory_bytes=allowed.parse_memory_bytes,
        max_pages=allowed.max_pages,
        max_image_pixels=allowed.max_image_pixels,
        max_text_chars=allowed.max_text_chars,
        max_expanded_bytes=min(
            allowed.max_expanded_bytes, allowed.parse_memory_bytes // EXPANDED_SHARE_OF_MEMORY
        ),
    )
