"""What people say of a file: changed in its row, and told to the index, which filters by it.

Row and index can't change together. So the change leaves an ``AttributeUpdate`` in its transaction, and whoever tells
the index takes it away, unless another change came meanwhile; the sweep tells what was left behind.
"""

import json
import logging
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.base.errors import CommonplaceError, NotFound
from apps.events.services import record
from apps.knowledge.models import AttributeUpdate, File
from apps.knowledge.signals import announce_change
from apps.orgs.scope import tenant_scope
from apps.retrieval import services as retrieval
from apps.retrieval.passages import FileAttributes

logger = logging.getLogger(__name__)
FILTERED_BY = frozenset({"tags", "metadata"})
# Longer than an engine's call may take: of two that tell it, the one with the older words must not be the last.
HOLD = timedelta(minutes=2)


@transaction.atomic
def update_file(file: File, *, actor_id: str = "", **changes: Any) -> File:
    """Change some of ``tags``, ``metadata``, ``external_file_url`` and ``custom_instructions``; returns the row.

    Searches filter by the new tags and metadata in a moment. Instructions count when the file is indexed next.
    Raises NotFound when it was deleted meanwhile.
    """
    current = File.objects.select_for_update().filter(pk=file.pk).first()
    if current is None:
        raise NotFound("There is no such file.")
    changed = {name: value for name, value in changes.items() if not _is_same(getattr(current, name), value)}
    if changed:
        before = {name: getattr(current, name) for name in changed}
        File.objects.filter(pk=current.pk).update(**changed, updated_at=timezone.now())
        current.refresh_from_db()
        record(
            "file.updated",
            organization_id=current.organization_id,
            knowledge_base_id=current.knowledge_base_id,
            subject_id=current.pk,
            actor_id=actor_id,
            payload={"changed": sorted(changed)},
        )
        announce_change(current, before=before, actor_id=actor_id)
        if FILTERED_BY & set(changed):
            tell_index_soon(current)
    return current


def attributes_of(file: File) -> FileAttributes:
    return FileAttributes(tags=tuple(file.tags), metadata=file.metadata)


def have_same_attributes(one: File, other: File) -> bool:
    return _is_same([one.tags, one.metadata], [other.tags, other.metadata])


def tell_index_soon(file: File) -> None:
    """The index is to be told what the file's row says now: after the commit of the caller's transaction."""
    rows = AttributeUpdate.objects.filter(file=file)
    while not rows.update(changes=F("changes") + 1):
        with suppress(IntegrityError), transaction.atomic():
            AttributeUpdate.objects.create(organization_id=file.organization_id, file=file)
            break
    transaction.on_commit(partial(_try_to_tell, file.organization_id, file.pk), robust=True)


def tell_index(organization_id: str, file_id: str) -> bool:
    """Tell the index what the file's row says, until it says nothing new. False when nothing was to be told, or
    somebody else does. Raises IndexUnavailable; the sweep tries again."""
    with tenant_scope(organization_id):
        rows = AttributeUpdate.objects.filter(file_id=file_id)
        is_free = Q(held_until=None) | Q(held_until__lt=timezone.now())
        if not rows.filter(is_free).update(held_until=timezone.now() + HOLD):
            return False
        # Both rows by one query: what is told is at least as new as the count of changes.
        while update := rows.select_related("file").first():
            try:
                retrieval.set_file_attributes(organization_id, file_id, attributes_of(update.file))
            except CommonplaceError:
                rows.update(held_until=None)
                raise
            if rows.filter(changes=update.changes).delete()[0]:
                break
            rows.update(held_until=timezone.now() + HOLD)
    return True


def _try_to_tell(organization_id: str, file_id: str) -> None:
    try:
        tell_index(organization_id, file_id)
    except CommonplaceError as error:
        logger.warning("The tags of %s are not in the index yet: %s", file_id, error.message)


def _is_same(one: Any, other: Any) -> bool:
    """As JSON: 1 is not true."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
