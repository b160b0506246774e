"""Changes to organizations that span rows."""

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.base.errors import CommonplaceError, NotFound, ValidationFailed
from apps.orgs.models import Membership, Organization, Plan
from apps.orgs.ownership import count_creation, require_room_to_own
from apps.orgs.roles import Role
from apps.orgs.scope import tenant_scope
from apps.orgs.signals import announce, organization_created, organization_deleting


class PlanMissing(CommonplaceError):
    """A fault of the server's configuration, told at start (config/checks.py), or of whoever named the plan."""

    code = "plan_missing"
    http_status = 503


@transaction.atomic
def create_organization(*, name: str, owner: User, plan: str | None = None) -> Organization:
    """Make an organization with its owner and, by way of the signal, its default library. Without a ``plan`` it
    has DEFAULT_PLAN. For operators: however many the owner has. Raises PlanMissing, ValidationFailed."""
    name = name.strip()
    if not name:
        raise ValidationFailed(
            "An organization needs a name.", fields={"name": ["This field may not be blank."]}
        )
    plan = plan or settings.DEFAULT_PLAN
    if not Plan.objects.filter(pk=plan).exists():
        raise PlanMissing(
            f"There is no plan '{plan}' for a new organization. Tell whoever operates this server."
        )
    organization = Organization.objects.create(name=name, plan_id=plan)
    with tenant_scope(organization.pk):
        Membership.objects.create(organization=organization, user=owner, role=Role.OWNER)
        _announce("organization.created", organization, ownerId=owner.pk)
        organization_created.send(sender=Organization, organization=organization, creator=owner)
    return organization


@transaction.atomic
def create_own_organization(*, name: str, owner: User) -> Organization:
    """The same, as anybody may for themselves. Raises TooManyOrganizations and RateLimited too."""
    require_room_to_own(owner.pk)
    count_creation(owner.pk)
    return create_organization(name=name, owner=owner)


@transaction.atomic
def rename_organization(*, organization: Organization, name: str) -> Organization:
    """Raises NotFound when the organization was deleted meanwhile."""
    before, found = organization.name, Organization.objects.filter(pk=organization.pk)
    if not found.update(name=name.strip(), updated_at=timezone.now()):
        raise NotFound("There is no such organization.")
    organization.refresh_from_db()
    _announce("organization.renamed", organization, before=before)
    return organization


@transaction.atomic
def change_plan(*, organization: Organization, plan: str) -> None:
    """Only operators may, in the admin site. Raises NotFound as above."""
    if not Organization.objects.filter(pk=organization.pk).update(plan_id=plan, updated_at=timezone.now()):
        raise NotFound("There is no such organization.")
    _announce("organization.plan_changed", organization, plan=plan, before=organization.plan_id)


@transaction.atomic
def delete_organization(*, organization: Organization) -> None:
    """Delete the organization and all it owns; objects and vectors follow by their tombstones. What is told of it
    in the audit log stays, for operators, until it is old."""
    with tenant_scope(organization.pk):
        organization_deleting.send(sender=Organization, organization=organization)
        # From here on nothing can refer to it any more, and what came in meanwhile goes as the rest did. Not locked
        # from the start: who holds what the first round deletes may be waiting for this row.
        Organization.objects.select_for_update().filter(pk=organization.pk).first()
        organization_deleting.send(sender=Organization, organization=organization)
        _announce("organization.deleted", organization, members=Membership.objects.count())
        organization.delete()


def _announce(kind: str, organization: Organization, **payload: object) -> None:
    announce(
        kind, organization_id=organization.pk, subject_id=organization.pk, name=organization.name, **payload
    )
