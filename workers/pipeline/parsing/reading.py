"""What reading a picture gives, whichever engine read it."""

from dataclasses import dataclass

from workers.pipeline.parsing.blocks import Block


@dataclass(frozen=True, slots=True)
class Reading:
    """``confidence``, 0–1, is on Tesseract's scale, whichever engine read; 0 without any text.

    ``word_pixels`` is the median height of a word, or a line."""

    blocks: tuple[Block, ...]
    confidence: float
    word_pixels: int

    @property
    def chars(self) -> int:
        return sum(len(block.text) for block in self.blocks)

    @property
    def worth(self) -> float:
        """What two readings of one picture are compared by: legible characters."""
        return self.confidence**2 * self.chars


NOTHING = Reading((), 0.0, 0)
