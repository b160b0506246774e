"""Whose turn it is: nobody waits behind a crowd.

A message in the ingest queue says that there is work, not which. Which file a worker takes is decided when it
is free, over all that wait, so that an organization's thousandth file does not stand before another's first.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Exists, OuterRef, QuerySet
from django.utils import timezone

from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from apps.orgs.models import Organization
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
    with system_scope("whose turn it is"):
        due = File.objects.filter(status=FileStatus.ENQUEUED, copy_job=None, available_at__lte=now)
        # An organization's backlog is not counted, only seen to be there: it may be a hundred thousand files.
        has_due = Exists(due.filter(organization_id=OuterRef("pk")))
        waiting = list(Organization.objects.filter(has_due).order_by().values_list("pk", flat=True))
        if not waiting:
            return None
        held = File.objects.filter(status=FileStatus.PROCESSING, copy_job=None, lease_expires_at__gt=now)
        load = dict(held.order_by().values_list("organization_id").annotate(Count("pk")))
        chosen = one_of_the_idlest(waiting, load)
        longest_waiting = due.filter(organization_id=chosen).order_by("available_at", "id")
        file_id = longest_waiting.values_list("pk", flat=True).first()
    return Turn(chosen, file_id) if file_id else None


def next_organization(due: QuerySet[Any], held: QuerySet[Any]) -> str | None:
    """One of those that have rows due and the fewest held, by lot; None when nothing is due.

    For work of which few rows wait: every due row is looked at. In a system scope.
    """
    waiting = list(due.order_by().values_list("organization_id", flat=True).distinct())
    if not waiting:
        return None
    return one_of_the_idlest(
        waiting, dict(held.order_by().values_list("organization_id").annotate(Count("pk")))
    )


def one_of_the_idlest(waiting: Sequence[str], load: Mapping[str, int]) -> str:
    """One of those that have the least in work, by lot."""
    fewest = min(load.get(organization_id, 0) for organization_id in waiting)
    idlest = [organization_id for organization_id in waiting if load.get(organization_id, 0) == fewest]
    return random.choice(idlest)  # noqa: S311
