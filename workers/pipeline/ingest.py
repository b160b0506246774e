"""One file from ENQUEUED to READY or an honest ERROR: claim, fetch, detect, parse, chunk, embed, index.

Pages flow through: while the child process parses one, the chunks of the page before are embedded and
written, so memory does not grow with the document, and progress counts pages that are done in every respect.
"""

import logging
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from apps.base.errors import CommonplaceError
from apps.knowledge import leases, quotas
from apps.knowledge.attributes import attributes_of
from apps.knowledge.leases import Lease, LeaseLost
from apps.knowledge.models import File
from apps.knowledge.statuses import EmbeddingMode
from apps.knowledge.storage import object_store
from apps.knowledge.turns import next_turn
from apps.knowledge.uploads import check_stored
from apps.orgs.scope import tenant_scope
from apps.retrieval import services as retrieval
from apps.retrieval.languages import detect_languages
from apps.retrieval.passages import Chunk, FileAttributes
from apps.retrieval.runtime import get_embedder
from workers.embedding_models import begin_with_other_models
from workers.pipeline import surroundings
from workers.pipeline.chunking import chunk_pages
from workers.pipeline.detection import detect
from workers.pipeline.endings import Stopping, end_of, write_down
from workers.pipeline.errors import EmptyFile, NoText
from workers.pipeline.limits import parse_limits
from workers.pipeline.parsing.blocks import ParsedPage, ParseOptions
from workers.pipeline.parsing.process import parse_document
from workers.pipeline.reuse import content_key, copy_same_content
from workers.stopping import is_stopping

logger = logging.getLogger(__name__)
INDEX_BATCH = 64  # chunks embedded and written at a time, at most
FIRST_BATCH, SMALLEST_BATCH = 32, 4
SHOW_PROGRESS_SECONDS = 0.5  # how often a moving progress is written


def ingest_next(*, owner: str) -> bool:
    """Take the file whose turn it is, whoever's it is, and bring it to its end. False when none could be taken because
    something that is needed is away: the message is to come again."""
    return surroundings.act_when_well(partial(_ingest_one, owner=owner))


def _ingest_one(*, owner: str) -> None:
    begin_with_other_models()
    while (turn := next_turn()) is not None:
        with tenant_scope(turn.organization_id):
            if ingest_file(turn.file_id, owner=owner):
                return  # one message, one file; another worker's claim came first in the other case


def ingest_file(file_id: str, *, owner: str) -> bool:
    """Claim the file and bring it to its end. False, and nothing done, for one that can't be claimed now."""
    lease = leases.claim(file_id, owner=owner)
    if lease is None:
        return False
    started = time.monotonic()
    try:
        _bring_to_end(lease)
    except LeaseLost:
        logger.warning("%s %s: given up, the lease was lost", lease.file.pk, lease.file.file_name)
        leases.own_up(lease)
        if not leases.is_live(lease):  # it is, when the commit was done and its answer got lost
            with suppress(CommonplaceError):  # the sweep does it otherwise
                retrieval.delete_revision(lease.address)  # whoever holds the file now writes another revision
        return True
    file = lease.file
    outcome = (
        f"{file.page_count or 0} pages, {file.chunk_count} chunks"
        if not file.error_code
        else file.status_message
    )
    logger.info(
        "%s %s: %s in %.1f s, %s", file.pk, file.file_name, file.status, time.monotonic() - started, outcome
    )
    return True


def _bring_to_end(lease: Lease) -> None:
    """Leave the file READY, in ERROR, or queued again. Raises LeaseLost."""
    try:
        _Attempt(lease).run()
    except LeaseLost:
        raise
    except Stopping:
        write_down(lambda: leases.release(lease, reason="The worker was stopped; the file is queued again."))
    except Exception as error:
        end = end_of(lease, error)
        write_down(end)


class _Pace:
    """How many chunks this process embeds and writes at a time. Nobody proves life during a batch: on a machine
    that is short of time it must be small. What one file taught is kept for the next."""

    def __init__(self) -> None:
        self.batch_size = FIRST_BATCH

    def adapt(self, seconds: float, *, renew_every_seconds: float) -> None:
        if seconds > renew_every_seconds / 2:
            self.batch_size = max(SMALLEST_BATCH, self.batch_size // 4)
        elif seconds < renew_every_seconds / 4:
            self.batch_size = min(INDEX_BATCH, self.batch_size * 2)


pace = _Pace()


class _Attempt:
    """One run over one file, and how far it is."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.file: File = lease.file
        self.page_count: int | None = None
        self.pages_done = 0
        self.chunk_count = 0
        self.languages: Counter[str] = Counter()  # chunks of each
        self.last_language: str | None = None
        self.ocr_confidences: list[float] = []
        self.lease_ends: datetime = self.file.lease_expires_at or timezone.now()
        self.renew_every_seconds = settings.LEASE_SECONDS / 3
        self.renewed_at = time.monotonic()
        self.shown_pages_done = 0

    def run(self) -> None:
        check_stored(self.file, revision=self.lease.revision)
        if not self.file.size_bytes:
            raise EmptyFile
        with object_store().local_copy(self.file.key, on_progress=self._prove_life) as path:
            media_type = detect(path, file_name=self.file.file_name, declared_type=self.file.content_type)
            options = self._parse_options()
            content = content_key(path, self.lease, media_type, options)
            reused = copy_same_content(self.lease, content, prove_life=self._prove_life)
            if reused is None:
                # Before the reading, whose time is measured; it may have to be converted first, for minutes.
                retrieval.load_model(self.lease.model, while_waiting=self._prove_life)
                pages = self._pages(path, media_type, options)
                embedder = get_embedder(self.lease.model)
                self._index(chunk_pages(pages, embedder, about=self.file.custom_instructions))
            else:
                self.chunk_count, self.page_count = reused.chunk_count, reused.page_count
                self.languages = Counter(reused.languages)
        if self.chunk_count == 0:
            raise NoText
        self._prove_life(force=True)
        payload: dict[str, object] = {}
        if self.ocr_confidences:
            payload["ocrPages"] = len(self.ocr_confidences)
            payload["ocrConfidence"] = round(sum(self.ocr_confidences) / len(self.ocr_confidences), 3)
        if reused is not None:
            payload = {"reused": True, **reused.reading}
        leases.complete(
            self.lease,
            chunk_count=self.chunk_count,
            page_count=self.page_count,
            payload=payload,
            languages=[language for language, _ in self.languages.most_common()],
            content=content,
        )

    def _parse_options(self) -> ParseOptions:
        return ParseOptions(
            limits=parse_limits(self.file.organization_id),
            force_ocr=self.file.embedding_mode == EmbeddingMode.OCR,
            ocr_languages=tuple(self.file.knowledge_base.ocr_languages or settings.OCR_LANGUAGES),
        )

    def _pages(self, path: Path, media_type: str, options: ParseOptions) -> Iterator[ParsedPage]:
        """The document's pages as the child process yields them, counted on their way."""
        with closing(parse_document(path, media_type, options, should_stop=self._should_stop)) as pages:
            for page in pages:
                if page.number is not None:
                    self.page_count = page.total
                if page.ocr_confidence is not None:
                    self.ocr_confidences.append(page.ocr_confidence)
                yield page

    def _index(self, chunks: Generator[Chunk, None, None]) -> None:
        attributes = attributes_of(self.file)
        batch: list[Chunk] = []
        with closing(chunks):  # which ends the child process
            for chunk in chunks:
                batch.append(chunk)
                if len(batch) >= pace.batch_size:
                    self._write(batch, attributes)
                    batch = []
            self._write(batch, attributes)

    def _write(self, batch: list[Chunk], attributes: FileAttributes) -> None:
        if not batch:
            return
        self._prove_life()
        chunk_count = self.chunk_count + len(batch)
        quotas.ensure_room(self.file.organization_id, chunks=chunk_count - self.file.chunk_count)
        started = time.monotonic()
        languages = detect_languages([chunk.text for chunk in batch], before=self.last_language)
        self.languages.update(languages)
        self.last_language = languages[-1]
        batch = [replace(chunk, language=language) for chunk, language in zip(batch, languages, strict=True)]
        retrieval.index_chunks(self.lease.address, attributes, batch)
        pace.adapt(time.monotonic() - started, renew_every_seconds=self.renew_every_seconds)
        self.chunk_count = chunk_count
        # Chunks come in page order: with the last one written, every page before its own is done.
        self.pages_done = (batch[-1].page_end or 1) - 1
        self._prove_life()

    def _should_stop(self) -> bool:
        """Asked about once a second while a page is being parsed."""
        self._prove_life()
        return False

    def _prove_life(self, *, force: bool = False) -> None:
        """Renew the lease when a third of it is gone or there is progress to show.

        Raises Stopping, and LeaseLost: then another worker may have the file already, and nothing may be written
        any more. After a lease ran out unrenewed, the row says whether that is so.
        """
        if is_stopping():
            raise Stopping
        ran_out = timezone.now() >= self.lease_ends
        waited = time.monotonic() - self.renewed_at
        has_progress = self.pages_done != self.shown_pages_done and waited >= SHOW_PROGRESS_SECONDS
        if force or ran_out or has_progress or waited > self.renew_every_seconds:
            self.lease_ends = leases.renew(self.lease, pages_done=self.pages_done, page_count=self.page_count)
            self.renewed_at = time.monotonic()
            self.shown_pages_done = self.pages_done
