"""Pages of formats that have none: blocks in batches, so that a long document streams."""

from collections.abc import Iterable, Iterator

from workers.pipeline.parsing.blocks import Block, ParsedPage

BATCH_CHARS = 64_000


def in_batches(blocks: Iterable[Block]) -> Iterator[ParsedPage]:
    """Unnumbered pages of some ``BATCH_CHARS`` characters. ``total`` is 1: such a format can't tell it."""
    batch: list[Block] = []
    chars = 0
    for block in blocks:
        batch.append(block)
        chars += len(block.text)
        if chars >= BATCH_CHARS:
            yield ParsedPage(None, 1, tuple(batch))
            batch, chars = [], 0
    if batch:
        yield ParsedPage(None, 1, tuple(batch))
