"""Forgetting what happened long ago."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.events.models import Event, Purge
from apps.orgs.scope import system_scope

BATCH = 5000


def forget_old_events() -> int:
    """Delete events older than AUDIT_RETENTION_DAYS (0: none ever is); returns how many. Safe to repeat.

    In short transactions, the oldest rows first: ids and times grow together, so the first young row ends it, and no
    index on time is needed.
    """
    if not settings.AUDIT_RETENTION_DAYS:
        return 0
    horizon = timezone.now() - timedelta(days=settings.AUDIT_RETENTION_DAYS)
    forgotten = 0
    with system_scope("events of any organization grow old"):
        while True:
            oldest = Event.objects.order_by("pk").values_list("pk", "created_at")[:BATCH]
            old = [pk for pk, created_at in oldest if created_at < horizon]
            if old:
                with transaction.atomic():
                    gate = Purge.objects.create()
                    Event.objects.filter(pk__lte=old[-1], created_at__lt=horizon).delete()
                    gate.delete()
                forgotten += len(old)
            if len(old) < BATCH:
                return forgotten
