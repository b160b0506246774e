import importlib
from datetime import timedelta

import pytest
from django.apps import apps
from django.utils import timezone

from apps.base.errors import NotFound, PermissionDenied, ValidationFailed
from apps.orgs.access import access_to, organizations_of
from apps.orgs.keys import create_api_key, find_usable_key
from apps.orgs.models import ApiKey, Membership
from apps.orgs.roles import ABILITIES, Ability, Role
from apps.orgs.scope import system_scope
from tests.conftest import Tenant


def test_secret_finds_its_key_and_is_not_stored(tenant: Tenant) -> None:
    key = find_usable_key(tenant.secret)
    assert key is not None
    assert key.organization_id == tenant.organization.pk
    with tenant.scope():
        assert tenant.secret not in str(ApiKey.objects.values().get())


@pytest.mark.parametrize(
    "change",
    [
        {"revoked_at": timezone.now()},
        {"expires_at": timezone.now() - timedelta(seconds=1)},
    ],
    ids=["revoked", "expired"],
)
def test_key_that_ended_is_not_found(tenant: Tenant, change: dict[str, object]) -> None:
    with tenant.scope():
        ApiKey.objects.update(**change)
    assert find_usable_key(tenant.secret) is None


def test_key_of_an_inactive_user_is_not_found(tenant: Tenant) -> None:
    tenant.owner.is_active = False
    tenant.owner.save()
    assert find_usable_key(tenant.secret) is None


def test_use_is_noted(tenant: Tenant) -> None:
    find_usable_key(tenant.secret)
    with tenant.scope():
        assert ApiKey.objects.get().last_used_at is not None


def test_key_reaches_its_own_organization_only(tenant: Tenant, stranger: Tenant) -> None:
    key = find_usable_key(tenant.secret)
    with stranger.scope():
        Membership.objects.create(user=tenant.owner, role=Role.OWNER)
    assert access_to(stranger.organization.pk, user=tenant.owner, key=None).role == Role.OWNER
    with pytest.raises(NotFound):
        access_to(stranger.organization.pk, user=tenant.owner, key=key)
    assert [row.pk for row in organizations_of(tenant.owner, key)] == [tenant.organization.pk]
    assert organizations_of(tenant.owner, None).count() == 2


def test_key_grants_no_more_than_its_scopes(tenant: Tenant) -> None:
    _, secret = create_api_key(
        organization=tenant.organization, user=tenant.owner, name="reader", scopes=[Ability.KB_READ]
    )
    access = access_to(tenant.organization.pk, user=tenant.owner, key=find_usable_key(secret))
    access.require(Ability.KB_READ)
    with pytest.raises(PermissionDenied):
        access.require(Ability.KB_MANAGE)


def test_key_grants_no_more_than_its_users_role(tenant: Tenant) -> None:
    with tenant.scope():
        Membership.objects.update(role=Role.VIEWER)
    access = access_to(tenant.organization.pk, user=tenant.owner, key=find_usable_key(tenant.secret))
    assert access.abilities == ABILITIES[Role.VIEWER]


def test_key_does_not_end_the_organization_unless_that_is_named(tenant: Tenant) -> None:
    key, _ = create_api_key(organization=tenant.organization, user=tenant.owner, name="by default")
    assert set(Ability) - key.abilities == {
        Ability.ORG_DELETE,
        Ability.OWNERS_MANAGE,
        Ability.MEMBERS_MANAGE,
    }


def test_key_without_scopes_is_refused(tenant: Tenant) -> None:
    with pytest.raises(ValidationFailed):
        create_api_key(organization=tenant.organization, user=tenant.owner, name="nothing", scopes=[])


def test_scopes_of_before_become_the_verbs_that_they_stood_for(tenant: Tenant) -> None:
    migration = importlib.import_module("apps.orgs.migrations.0004_key_scopes_per_verb")
    everything = {verb for verbs in migration.VERBS.values() for verb in verbs}
    assert everything <= set(Ability.values)
    with system_scope("test"):
        ApiKey.objects.update(scopes=["manage", "own", "read", "write"])
        migration.divide_scopes(apps, None)
        assert set(ApiKey.objects.get().scopes) == everything
        ApiKey.objects.update(scopes=["read"])
        migration.divide_scopes(apps, None)
        migration.divide_scopes(apps, None)
        reads = {
            Ability.ORG_READ,
            Ability.MEMBERS_READ,
            Ability.KB_READ,
            Ability.KB_SEARCH,
            Ability.FILES_READ,
        }
        assert ApiKey.objects.get().abilities == reads
