"""How many organizations one account may own: each brings the quotas of a plan with it.

Bound is what an account makes, joins as an OWNER or has transferred to it; what an operator does is not.
"""

from django.conf import settings

from apps.accounts.models import User
from apps.base.errors import Conflict
from apps.orgs.models import Membership
from apps.orgs.rate_limits import DAY, Window, require_room
from apps.orgs.roles import Role
from apps.orgs.scope import system_scope


class TooManyOrganizations(Conflict):
    code = "too_many_organizations"


def require_room_to_own(user_id: str) -> None:
    """Raises TooManyOrganizations for an account that owns MAX_ORGANIZATIONS_PER_ACCOUNT.

    Exact: asked in the transaction that adds one, where the next to ask for the same account waits for the commit.
    Whoever holds an organization's lock took it before.
    """
    limit = settings.MAX_ORGANIZATIONS_PER_ACCOUNT
    if not limit:
        return
    User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    with system_scope("the organizations that an account owns"):
        owned = Membership.objects.filter(user_id=user_id, role=Role.OWNER).count()
    if owned >= limit:
        raise TooManyOrganizations(
            f"An account owns at most {limit} organizations, and this one owns {owned}. Delete or transfer one first."
        )


def count_creation(user_id: str) -> None:
    """As many may be made in a day as owned: who deletes each one would have a new month's quotas every time. Raises
    RateLimited, and ValkeyAway where nothing may go on uncounted."""
    if limit := settings.MAX_ORGANIZATIONS_PER_ACCOUNT:
        require_room(f"organizations:by:{user_id}", Window(limit, DAY))
