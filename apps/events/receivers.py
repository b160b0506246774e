"""Organizations lie below events and can't know them: they announce, and it is recorded here."""

from collections.abc import Mapping
from typing import Any

from django.dispatch import receiver

from apps.events.services import record
from apps.orgs.signals import announced


@receiver(announced)
def record_announcement(
    kind: str, organization_id: str | None, subject_id: str, payload: Mapping[str, Any], **_: object
) -> None:
    record(kind, organization_id=organization_id, subject_id=subject_id, payload=payload, is_audit=True)
