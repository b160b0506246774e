"""From ranked chunks to the page that is shown: neighbours joined, and no file filling it while others have as much
to say (docs/decisions/arrangement.md)."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice, pairwise

from apps.retrieval.passages import Chunk, Passage

# Longer passages would be documents again, and one page of results as long as a book.
MAX_JOINED_CHUNKS = 3
# What a passage's score counts less for each passage its file has on the page already, and at most. Others
# come first that are nearly as good, by so much; others that are worse never do.
FILE_DISCOUNT, MAX_FILE_DISCOUNT = 0.02, 0.1


@dataclass(slots=True)
class _Run:
    """Chunks of one revision that follow one another. ``best`` is the one that was ranked first."""

    best: Passage
    chunks: list[Chunk]


def arrange(ranked: Iterable[Passage], *, limit: int) -> list[Passage]:
    """Up to ``limit`` passages, in the order they are shown in, from passages of one chunk each, best first.

    A chunk that follows or precedes one on the page joins its passage, which stays in its place and keeps the
    id, similarity and score of its best chunk; its text, offsets and pages span all of them. There are
    ``limit`` passages if there are ``limit · MAX_JOINED_CHUNKS`` chunks, of which no more are taken than are needed to
    know. Passages of one file alone keep their order.
    """
    coming = iter(ranked)
    waiting: list[Passage] = []
    page: list[_Run] = []
    on_page: Counter[str] = Counter()
    while len(page) < limit and (place := _next(waiting, coming, on_page)) is not None:
        passage = waiting.pop(place)
        if not _join(page, passage):
            page.append(_Run(passage, [passage.chunk]))
        on_page[passage.file_id] = sum(run.best.file_id == passage.file_id for run in page)
    return [replace(run.best, chunk=_joined(run.chunks)) for run in page]


def _next(waiting: list[Passage], coming: Iterator[Passage], on_page: Counter[str]) -> int | None:
    """The place, among those waiting, of the passage with the best discounted score; of equals, the one ranked first.
    Those that come wait too, as far as one of them might be it."""
    best_place, best_score = None, -math.inf
    for place in count():
        if place == len(waiting):
            waiting.extend(islice(coming, 1))
        if place == len(waiting) or waiting[place].score <= best_score:
            break  # nothing follows, or nothing that is better
        score = waiting[place].score
        score -= min(FILE_DISCOUNT * on_page[waiting[place].file_id], MAX_FILE_DISCOUNT)
        if score > best_score:
            best_place, best_score = place, score
    return best_place


def _join(page: list[_Run], passage: Passage) -> bool:
    """Whether the chunk adjoined a passage on the page, or two, and is part of it now."""
    chunk = passage.chunk
    before = after = None
    for run in page:
        if (run.best.file_id, run.best.revision) != (passage.file_id, passage.revision):
            continue
        if run.chunks[-1].ordinal + 1 == chunk.ordinal:
            before = run
        elif run.chunks[0].ordinal - 1 == chunk.ordinal:
            after = run
    if before and after and len(before.chunks) + 1 + len(after.chunks) <= MAX_JOINED_CHUNKS:
        joined = [*before.chunks, chunk, *after.chunks]
        first, second = sorted((before, after), key=page.index)
        first.chunks = joined
        page.remove(second)
        return True
    if before and len(before.chunks) < MAX_JOINED_CHUNKS:
        before.chunks.append(chunk)
        return True
    if after and len(after.chunks) < MAX_JOINED_CHUNKS:
        after.chunks.insert(0, chunk)
        return True
    return False


def _joined(chunks: Sequence[Chunk]) -> Chunk:
    first, last = chunks[0], chunks[-1]
    if first is last:
        return first
    text = first.text
    for former, chunk in pairwise(chunks):
        text = _append(text, former, chunk)
    read = [chunk for chunk in chunks if chunk.ocr_confidence is not None]
    characters = sum(len(chunk.text) for chunk in read)
    confidence = sum(len(chunk.text) * (chunk.ocr_confidence or 0.0) for chunk in read)
    return replace(
        first,
        text=text,
        page_end=last.page_end,
        char_end=last.char_end,
        ocr_confidence=round(confidence / characters, 4) if characters else None,
    )


def _append(text: str, former: Chunk, chunk: Chunk) -> str:
    """The text with the next chunk's, as they stand in the document: what both have is there once, and between two
    that have nothing in common there was white space."""
    shared = former.char_end - chunk.char_start
    if shared > 0:
        return text + chunk.text[shared:]
    if shared == 0:
        return text + chunk.text
    if shared == -1:
        return text + ("\n" if "\n" in former.text else " ") + chunk.text
    return f"{text}\n\n{chunk.text}"
