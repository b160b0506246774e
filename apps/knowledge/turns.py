"""Whose turn it is: nobody waits behind a crowd.

A message in the ingest queue says that there is work, not which. Which file a worker takes is decided when it
is free, over all that wait, so that an organization's thousandth file does not stand before another's first.
"""

import random
from dataclasses import dataclass

from django.db.models import Count, Q
from django.utils import timezone

from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from apps.orgs.scope import system_scope


@dataclass(frozen=True, slots=True)
class Turn:
    organization_id: str
    file_id: str


def next_turn() -> Turn | None:
    """The file to take now, or None when nothing is due.

    It is one of the organization that has the fewest files in work, drawn by lot among equals, and in that
    organization the one that has waited longest. Nothing is reserved: the claim may still be lost to another.
    """
    now = timezone.now()
    is_due = Q(status=FileStatus.ENQUEUED, available_at__lte=now)
    is_held = Q(status=FileStatus.PROCESSING, lease_expires_at__gt=now)
    with system_scope("whose turn it is"):
        loads = File.objects.filter(is_due | is_held).order_by().values("organization_id")
        waiting = list(
            loads.annotate(due=Count("pk", filter=is_due), held=Count("pk", filter=is_held)).filter(due__gt=0)
        )
        if not waiting:
            return None
        fewest = min(load["held"] for load in waiting)
        chosen = random.choice([load["organization_id"] for load in waiting if load["held"] == fewest])  # noqa: S311
        due = File.objects.filter(is_due, organization_id=chosen).order_by("available_at", "id")
        file_id = due.values_list("pk", flat=True).first()
    return Turn(chosen, file_id) if file_id else None
