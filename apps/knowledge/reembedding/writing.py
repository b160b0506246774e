"""Who may be writing into the collection of a model that a knowledge base does not have yet."""

from datetime import datetime

from django.db.models import Max
from django.utils import timezone

from apps.knowledge.reembedding.models import Reembedding


def lease_end(knowledge_base_id: str) -> datetime | None:
    """When the lease ends of whoever re-embeds the knowledge base's files; None when nobody does.

    What must be seen to be gone from the index is looked at once more after that: a worker asks whether a file
    is there still, and which revision is live, each time after it renewed its lease, and not in between.
    """
    leased = Reembedding.objects.filter(
        knowledge_base_id=knowledge_base_id, lease_expires_at__gt=timezone.now()
    )
    ends: datetime | None = leased.aggregate(ends=Max("lease_expires_at"))["ends"]
    return ends
