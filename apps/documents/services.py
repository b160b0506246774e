"""Writing documents: every save is a version, and a version can be brought back."""

import difflib
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Sum
from django.utils import timezone

from apps.accounts.models import User
from apps.base.errors import NotFound, TooLarge
from apps.documents import quotas
from apps.documents.models import Document, DocumentVersion
from apps.events.services import record

MAX_TITLE_CHARS = 200
MAX_CONTENT_CHARS = 500_000
MAX_VERSIONS = 1000  # of one document, the latest
MAX_DIFF_LINES = 20_000  # of both together: comparing takes time that grows faster than they do


def write_document(
    *,
    organization_id: str,
    creator: User | None,
    title: str,
    content: str,
    file_id: str = "",
    run_id: str = "",
    is_personal: bool = False,
    dedupe_key: str = "",
) -> Document:
    """Make a document. Where one was made under this ``dedupe_key``, it is given a new version instead, unless it
    says the same already. Raises QuotaExceeded."""
    again = partial(
        _write_again,
        dedupe_key,
        creator=creator,
        run_id=run_id,
        title=title,
        content=content,
        is_personal=is_personal,
    )
    if dedupe_key and (known := again()):
        return known
    try:
        with transaction.atomic():
            document = Document.objects.create(
                organization_id=organization_id,
                creator=creator,
                title=title,
                content=content,
                file_id=file_id,
                run_id=run_id,
                is_personal=is_personal,
                dedupe_key=dedupe_key,
            )
            size_bytes = _add_version(document, creator=creator, run_id=run_id)
            _record("document.created", document)
            quotas.ensure_within(organization_id, documents=1, size_bytes=size_bytes)
    except IntegrityError:
        if not (dedupe_key and (known := again())):
            raise
        return known
    return document


@transaction.atomic
def _write_again(dedupe_key: str, *, is_personal: bool, **said: Any) -> Document | None:
    """A new version of what was made under the key. It becomes personal with the first that is: a step that is
    repeated may have read more than it did before."""
    known = Document.objects.select_for_update().filter(dedupe_key=dedupe_key).first()
    if known is None:
        return None
    if is_personal and not known.is_personal:
        Document.objects.filter(pk=known.pk).update(is_personal=True)
    return save_version(known, **said)


@transaction.atomic
def save_version(
    document: Document,
    *,
    creator: User | None,
    title: str | None = None,
    content: str | None = None,
    run_id: str = "",
    restored_from: int | None = None,
) -> Document:
    """Save what changed as the next version; nothing when nothing did. Versions before the latest MAX_VERSIONS go.

    Raises NotFound when it was deleted, QuotaExceeded.
    """
    current = Document.objects.select_for_update().filter(pk=document.pk).first()
    if current is None:
        raise NotFound("There is no such document.")
    title = current.title if title is None else title
    content = current.content if content is None else content
    if (title, content) == (current.title, current.content):
        return current
    current.title, current.content = title, content
    current.latest_version += 1
    current.updated_at = timezone.now()
    current.save(update_fields=["title", "title_folded", "content", "latest_version", "updated_at"])
    growth = _add_version(current, creator=creator, run_id=run_id, restored_from=restored_from)
    growth -= _forget_old_versions(current)
    _record("document.updated", current)
    quotas.ensure_within(current.organization_id, size_bytes=growth)
    return current


def restore_version(document: Document, number: int, *, creator: User) -> Document:
    """Make an old version's words the latest again, as a new version. Raises NotFound."""
    old = version_of(document, number)
    return save_version(
        document, creator=creator, title=old.title, content=old.content, restored_from=old.number
    )


def version_of(document: Document, number: int) -> DocumentVersion:
    """Raises NotFound."""
    found = DocumentVersion.objects.filter(document=document, number=number).first()
    if found is None:
        raise NotFound("There is no such version.")
    return found


def diff(document: Document, *, before: int, after: int) -> str:
    """What changed between two versions, as a unified diff; "" for nothing. Raises NotFound, and TooLarge for texts
    of very many lines."""
    old, new = version_of(document, before), version_of(document, after)
    old_lines, new_lines = _lines(old), _lines(new)
    if len(old_lines) + len(new_lines) > MAX_DIFF_LINES:
        raise TooLarge(f"Texts of more than {MAX_DIFF_LINES} lines together are not compared.")
    lines = difflib.unified_diff(
        old_lines, new_lines, fromfile=f"version {before}", tofile=f"version {after}", lineterm=""
    )
    return "\n".join(lines)


@transaction.atomic
def delete_document(document: Document) -> None:
    """With all its versions. Safe to repeat."""
    if Document.objects.filter(pk=document.pk).exists():
        _record("document.deleted", document)
        document.delete()


def _lines(version: DocumentVersion) -> list[str]:
    return [f"# {version.title}", *version.content.splitlines()]


def _add_version(
    document: Document, *, creator: User | None, run_id: str, restored_from: int | None = None
) -> int:
    """How many bytes it takes."""
    version = DocumentVersion.objects.create(
        organization_id=document.organization_id,
        document=document,
        number=document.latest_version,
        creator=creator,
        run_id=run_id,
        title=document.title,
        content=document.content,
        size_bytes=len(document.content.encode()),
        restored_from=restored_from,
    )
    return version.size_bytes


def _forget_old_versions(document: Document) -> int:
    """How many bytes that frees."""
    old = DocumentVersion.objects.filter(
        document=document, number__lte=document.latest_version - MAX_VERSIONS
    )
    freed = int(old.aggregate(freed=Sum("size_bytes", default=0))["freed"])
    old.delete()
    return freed


def _record(kind: str, document: Document) -> None:
    told = {
        "title": document.title,
        "version": document.latest_version,
        "fileId": document.file_id,
        "runId": document.run_id,
    }
    record(
        kind,
        organization_id=document.organization_id,
        subject_id=document.pk,
        personal_to=document.personal_to,
        payload={name: value for name, value in told.items() if value},
    )
