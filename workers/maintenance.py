"""The maintenance queue: what keeps rows, objects and vectors in step."""

from celery import shared_task
from django.conf import settings

from apps.agents import forgotten as runs
from apps.events.retention import forget_old_events as forget_events
from apps.knowledge import purge, quotas
from apps.knowledge.models import Tombstone
from apps.orgs import former_members, passwords, usage
from apps.orgs.scope import tenant_scope
from workers.storage_events import consume_what_waits
from workers.sweeping import sweep as sweep_everything


@shared_task
def sweep() -> None:
    sweep_everything()


@shared_task
def write_down_usage() -> None:
    usage.write_down_usage()


@shared_task
def note_storage() -> None:
    quotas.note_storage()


@shared_task
def send_password_reset(email: str) -> None:
    passwords.send_reset(email)


@shared_task
def forget_former_members() -> None:
    former_members.forget_those_long_gone()


@shared_task
def forget_old_events() -> None:
    forget_events()
    runs.forget_surplus()


@shared_task
def consume_storage_events() -> None:
    """Sent by beat where there is a queue of events; ends before it is sent again."""
    consume_what_waits(seconds=settings.STORAGE_EVENTS_INTERVAL_SECONDS - 1)


@shared_task
def purge_tombstone(organization_id: str, tombstone_id: int) -> None:
    with tenant_scope(organization_id):
        tombstone = Tombstone.objects.filter(pk=tombstone_id).first()
        if tombstone is not None:
            purge.purge(tombstone)


@shared_task
def purge_knowledge_base(organization_id: str, knowledge_base_id: str, after: int) -> None:
    with tenant_scope(organization_id):
        purge.purge_knowledge_base(organization_id, knowledge_base_id, after=after)
