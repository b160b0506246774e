"""Backpressure at the door: an organization whose files pile up is told to wait, before it sends more bytes."""

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from apps.base.errors import CommonplaceError
from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus


class QueueFull(CommonplaceError):
    code = "queue_full"
    http_status = 429
    retryable = True
    retry_after_seconds = 60
    default_message = "Too many files of this organization wait to be processed."


def ensure_room(organization_id: str, *, files: int = 1) -> None:
    """Raise QueueFull when ``files`` more would be more than ``MAX_WAITING_FILES`` of the organization.

    Files wait for their bytes, while their upload URL holds, and then for a worker. Requests that come at the
    same moment may pass together: it is a bound on a backlog, not an account.
    """
    limit = settings.MAX_WAITING_FILES
    if not limit:
        return
    is_announced = Q(status=FileStatus.WAITING_UPLOAD, upload_expires_at__gt=timezone.now())
    waiting = File.objects.filter(
        is_announced | Q(status=FileStatus.ENQUEUED), organization_id=organization_id
    )
    if waiting.order_by()[:limit].count() + files > limit:
        raise QueueFull(
            f"{limit} files of this organization may wait to be processed, and there is no room for "
            f"{files} more. Try again when some are done."
        )
