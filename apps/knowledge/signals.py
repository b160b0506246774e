"""What knowledge announces to apps that it may not know."""

from collections.abc import Mapping
from typing import Any

from django.dispatch import Signal

from apps.knowledge.models import File

# file, before, actor_id. Sent inside the transaction, while the file's row is locked: one after the other.
file_changed = Signal()


def announce_change(file: File, *, before: Mapping[str, Any] | None, actor_id: str = "") -> None:
    """Tell of a file that was made (``before`` is None) or changed: ``before`` has the columns that were set, as they
    were. Must be called in the transaction of the change."""
    file_changed.send(sender=File, file=file, before=before, actor_id=actor_id)
