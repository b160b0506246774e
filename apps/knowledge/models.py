"""Knowledge bases, the files in them, and the tombstones of what was deleted."""

from typing import Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.accounts.models import User
from apps.base import identifiers
from apps.base.folded_field import FoldedField
from apps.events.models import NOBODY
from apps.knowledge.object_keys import object_key
from apps.knowledge.ocr_languages import refusal_of
from apps.knowledge.statuses import EmbeddingMode, FileStatus, KnowledgeBaseType
from apps.orgs.access import Access
from apps.orgs.tenancy import TenantManager, TenantModel, TenantQuerySet


class KnowledgeBaseQuerySet(TenantQuerySet["KnowledgeBase"]):
    def visible_to(self, user: User | str) -> Self:
        """All of the organization's, and of the personal ones the user's own. The user may be named by their id."""
        return self.filter(Q(type=KnowledgeBaseType.ORGANIZATION) | Q(creator=user))

    def reachable_by(self, access: Access) -> Self:
        """Those visible to the caller, and of them, where their key is bound to some, only these."""
        bound_to = access.knowledge_base_ids
        rows = self.visible_to(access.user)
        return rows if bound_to is None else rows.filter(pk__in=bound_to)


class KnowledgeBase(TenantModel):
    id = models.CharField(
        primary_key=True,
        max_length=identifiers.MAX_LENGTH,
        default=identifiers.new_knowledge_base_id,
        editable=False,
    )
    type = models.CharField(
        max_length=12, choices=KnowledgeBaseType.choices, default=KnowledgeBaseType.ORGANIZATION
    )
    title = models.CharField(max_length=200)
    llm_description = models.TextField(
        blank=True, max_length=4000, help_text="Tells a language model what is in here and when to search it."
    )
    is_default = models.BooleanField(default=False, help_text="The library used where a call names none.")
    is_public = models.BooleanField(default=False)
    ocr_languages = models.JSONField(
        default=list, blank=True, help_text="Tesseract's names, like eng and deu. Empty: the server's."
    )
    embedding_model = models.CharField(
        max_length=60, editable=False, help_text="Whose vectors searches read."
    )
    languages = models.JSONField(
        default=list, editable=False, help_text="ISO 639-1 codes: of the files' text, as it was indexed."
    )
    agent_id = models.CharField(  # noqa: DJ001 - unique where there is one
        max_length=identifiers.MAX_LENGTH,
        null=True,
        unique=True,
        editable=False,
        help_text="The agent whose personal knowledge base it is.",
    )
    creator = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TenantManager.from_queryset(KnowledgeBaseQuerySet)()

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organization"], condition=Q(is_default=True), name="knowledge_base_one_default"
            ),
            models.CheckConstraint(
                condition=Q(type__in=KnowledgeBaseType.values), name="knowledge_base_type_known"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def personal_to(self) -> str:
        """Whose it is alone, as its events keep it; "" where it is the organization's."""
        return (self.creator_id or NOBODY) if self.type == KnowledgeBaseType.PERSONAL else ""

    def clean(self) -> None:
        if refusal := refusal_of(self.ocr_languages):
            raise ValidationError({"ocr_languages": refusal})


class File(TenantModel):
    """One file and where it is on its way. ``status`` is changed by ``lifecycle.transition`` alone.

    ``last_revision`` numbers the attempts to index the file and is the fencing token of the latest one;
    ``live_revision`` is the one that searches see (0: none yet).
    """

    id = models.CharField(
        primary_key=True, max_length=identifiers.MAX_LENGTH, default=identifiers.new_file_id, editable=False
    )
    knowledge_base = models.ForeignKey(KnowledgeBase, on_delete=models.CASCADE, related_name="files")
    creator = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    # What the client said of it.
    file_name = models.CharField(max_length=255)
    file_name_folded = FoldedField(of="file_name")
    content_type = models.CharField(max_length=150)
    embedding_mode = models.CharField(
        max_length=10, choices=EmbeddingMode.choices, default=EmbeddingMode.TEXT
    )
    custom_instructions = models.TextField(blank=True, max_length=4000)
    external_file_url = models.URLField(blank=True, max_length=2000)
    tags = models.JSONField(default=list, blank=True)
    metadata = models.JSONField(default=dict, blank=True)

    # What arrived.
    upload_expires_at = models.DateTimeField(null=True, editable=False)
    multipart_upload_id = models.CharField(
        max_length=1024, blank=True, editable=False, help_text="The object store's, while parts arrive."
    )
    part_bytes = models.BigIntegerField(
        null=True, editable=False, help_text="Of every part but the last, for an upload in parts."
    )
    reserved_bytes = models.PositiveBigIntegerField(
        default=0,
        editable=False,
        help_text="Room held for parts that may be in the store, or may still come.",
    )
    size_bytes = models.BigIntegerField(null=True, editable=False)
    etag = models.CharField(max_length=100, blank=True, editable=False)
    content_sha256 = models.CharField(max_length=64, blank=True, editable=False)
    recipe = models.CharField(
        max_length=64,
        blank=True,
        editable=False,
        help_text="Names all that decides, beside the bytes, what the live revision's chunks are.",
    )

    languages = models.JSONField(
        default=list, editable=False, help_text="ISO 639-1 codes: of the live revision's text."
    )

    # Where it is.
    status = models.CharField(
        max_length=14, choices=FileStatus.choices, default=FileStatus.WAITING_UPLOAD, editable=False
    )
    status_message = models.TextField(blank=True, editable=False)
    error_code = models.CharField(max_length=60, blank=True, editable=False)
    page_count = models.PositiveIntegerField(null=True, editable=False)
    pages_done = models.PositiveIntegerField(default=0, editable=False)
    chunk_count = models.PositiveIntegerField(default=0, editable=False, help_text="Of the live revision.")
    last_revision = models.PositiveIntegerField(default=0, editable=False)
    live_revision = models.PositiveIntegerField(default=0, editable=False)

    # The queue's memory.
    dispatched_at = models.DateTimeField(null=True, editable=False, help_text="When a task was last sent.")
    available_at = models.DateTimeField(
        default=timezone.now, editable=False, help_text="Not to be claimed before."
    )
    lease_owner = models.CharField(max_length=200, blank=True, editable=False)
    lease_expires_at = models.DateTimeField(null=True, editable=False)
    unfinished_attempts = models.PositiveSmallIntegerField(
        default=0, editable=False, help_text="Claims in a row whose worker vanished."
    )
    transient_failures = models.PositiveSmallIntegerField(default=0, editable=False)
    copy_job = models.ForeignKey(
        "knowledge.CopyJob",
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        db_index=False,
        related_name="files",
        help_text="Waits for this copy to bring bytes and vectors; no worker of the ingest queue takes it.",
    )
    copied_from = models.CharField(
        max_length=identifiers.MAX_LENGTH, blank=True, editable=False, help_text="The file it is a copy of."
    )

    objects = TenantManager()

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=FileStatus.values), name="file_status_known"),
            models.CheckConstraint(
                condition=~Q(status=FileStatus.PROCESSING) | Q(lease_expires_at__isnull=False),
                name="file_processing_has_lease",
            ),
            models.CheckConstraint(
                condition=~Q(status=FileStatus.READY) | Q(chunk_count__gt=0, live_revision__gt=0),
                name="file_ready_is_honest",
            ),
        ]
        indexes = [
            models.Index(
                fields=["knowledge_base", "created_at", "id"], name="file_listing"
            ),  # a base's files
            models.Index(  # sweep: uploaded, and the event never came
                fields=["created_at"],
                condition=Q(status=FileStatus.WAITING_UPLOAD),
                name="file_waiting_upload",
            ),
            models.Index(  # sweep: parts in the store that no upload is waiting for
                fields=["status"], condition=~Q(multipart_upload_id=""), name="file_with_parts"
            ),
            models.Index(  # sweep: enqueued, and the task got lost
                fields=["dispatched_at"], condition=Q(status=FileStatus.ENQUEUED), name="file_enqueued"
            ),
            models.Index(  # turns: who waits, and which file of theirs the longest
                fields=["organization", "available_at", "id"],
                condition=Q(status=FileStatus.ENQUEUED),
                name="file_turn",
            ),
            models.Index(  # sweep: claimed, and the worker vanished
                fields=["lease_expires_at"], condition=Q(status=FileStatus.PROCESSING), name="file_leased"
            ),
            models.Index(  # quotas and usage: what an organization stores, summed from the index alone
                fields=["organization", "size_bytes", "chunk_count", "reserved_bytes"], name="file_storage"
            ),
            models.Index(  # ingestion: were these bytes read before, in the same way?
                fields=["organization", "content_sha256", "recipe"],
                condition=Q(status=FileStatus.READY),
                name="file_same_content",
            ),
            models.Index(  # copies: what a copy has begun and not ended
                fields=["copy_job"], condition=Q(copy_job__isnull=False), name="file_being_copied"
            ),
        ]

    def __str__(self) -> str:
        return self.file_name

    @property
    def key(self) -> str:
        return object_key(self.organization_id, self.knowledge_base_id, self.id)

    @property
    def progress(self) -> int:
        """Percent of the pages that are indexed; 100 only when the file is READY."""
        if self.status == FileStatus.READY:
            return 100
        if self.status != FileStatus.PROCESSING or not self.page_count:
            return 0
        return min(99, 100 * self.pages_done // self.page_count)


class AttributeUpdate(TenantModel):
    """The index is yet to be told of a file's tags and metadata. Gone when it was, and nothing came after."""

    file = models.OneToOneField(File, on_delete=models.CASCADE, primary_key=True, related_name="+")
    changes = models.PositiveIntegerField(default=1)
    held_until = models.DateTimeField(null=True, help_text="Somebody tells it now: one at a time.")

    objects = TenantManager()

    def __str__(self) -> str:
        return f"{self.changes} changes of {self.file_id}"


class Tombstone(models.Model):
    """What is in the index or the object store and belongs to no live row: it is hidden from searches
    and purged after ``purge_after``, and this row stays until both places are seen to be empty of it.

    With a ``revision``: that revision's vectors (one being written, failed, or replaced). Without: the
    whole file, its object included. It references nothing, since it outlives what it names.
    """

    id = models.BigAutoField(primary_key=True)
    organization_id = models.CharField(max_length=identifiers.MAX_LENGTH)
    knowledge_base_id = models.CharField(max_length=identifiers.MAX_LENGTH)
    file_id = models.CharField(max_length=identifiers.MAX_LENGTH)
    revision = models.PositiveIntegerField(null=True)
    multipart_upload_id = models.CharField(
        max_length=1024, blank=True, help_text="Of the whole file: parts that are to go too."
    )
    purge_after = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=0)  # how often it was purged, and had to stay
    last_error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = TenantManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["file_id", "revision"], name="tombstone_once_per_revision"),
            models.UniqueConstraint(
                fields=["file_id"], condition=Q(revision__isnull=True), name="tombstone_once_per_file"
            ),
        ]
        indexes = [
            models.Index(fields=["purge_after"], name="tombstone_due"),  # sweep
            models.Index(  # every search: which revisions not to see
                fields=["organization_id", "knowledge_base_id"],
                condition=Q(revision__isnull=False),
                name="tombstone_hidden",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.file_id}" + (f" revision {self.revision}" if self.revision is not None else "")


# Models of parts of this app, each beside the code that it serves.
from apps.knowledge.copying.models import CopyJob as CopyJob  # noqa: E402
from apps.knowledge.links.models import DownloadLink as DownloadLink  # noqa: E402
from apps.knowledge.reembedding.models import Reembedding as Reembedding  # noqa: E402
