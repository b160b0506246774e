"""What members leave behind that is theirs alone: nobody else sees it, and it takes room.

It is kept for FORMER_MEMBER_RETENTION_DAYS in case they come back, then deleted, and handed to nobody. What that is,
the apps above know: they say so when somebody leaves, and delete it when they are asked to (``signals.py``).
"""

import logging
from datetime import timedelta
from typing import cast

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from apps.base.errors import Conflict
from apps.orgs.models import FormerMember, Membership
from apps.orgs.scope import system_scope, tenant_scope
from apps.orgs.signals import announce, former_member_forgotten, member_left

logger = logging.getLogger(__name__)


class CameBack(Conflict):
    code = "came_back"
    default_message = "This is a member again, and what they left is theirs."


def former_members() -> QuerySet[FormerMember]:
    """Those of the organization in scope who left something that is theirs alone, the first to leave first."""
    return FormerMember.objects.select_related("user").order_by("left_at", "pk")


def note_departure(membership: Membership) -> None:
    """In the transaction that ends the membership, and in the organization's scope."""
    answers = member_left.send(sender=None, user_id=membership.user_id)
    if any(is_something for _, is_something in answers):
        FormerMember.objects.create(organization_id=membership.organization_id, user=membership.user)


def forget(former: FormerMember) -> None:
    """Delete what they left, in several transactions: a call that broke off is made again. In the organization's scope.

    Raises CameBack.
    """
    answers = former_member_forgotten.send(sender=None, former=former)
    deleted = {name: count for _, counts in answers for name, count in cast(dict[str, int], counts).items()}
    with transaction.atomic():
        hold(former)
        former.delete()
        announce(
            "member.forgotten",
            organization_id=former.organization_id,
            subject_id=former.user_id,
            email=former.user.email,
            leftAt=former.left_at.isoformat(),
            **deleted,
        )


def hold(former: FormerMember) -> None:
    """Until the commit they do not come back. Raises CameBack where they did."""
    if not FormerMember.objects.select_for_update().filter(pk=former.pk).exists():
        raise CameBack


def forget_those_long_gone() -> int:
    """Of every organization; how many. Safe to repeat, and in several places at once."""
    if not settings.FORMER_MEMBER_RETENTION_DAYS:
        return 0
    horizon = timezone.now() - timedelta(days=settings.FORMER_MEMBER_RETENTION_DAYS)
    with system_scope("what former members left grows old"):
        gone = list(FormerMember.objects.select_related("user").filter(left_at__lt=horizon))
    forgotten = 0
    for former in gone:
        try:
            with tenant_scope(former.organization_id):
                forget(former)
            forgotten += 1
        except CameBack:
            continue
        except Exception:  # the others are not to wait for it
            logger.exception(
                "What %s left in %s could not be deleted.", former.user_id, former.organization_id
            )
    return forgotten
