import asyncio
import threading

import pytest
from django.apps import apps

from apps.knowledge.models import File, KnowledgeBase
from apps.orgs.models import Membership
from apps.orgs.roles import Role
from apps.orgs.scope import ScopeMissing, current_scope, system_scope, tenant_scope
from apps.orgs.tenancy import TenantManager, TenantModel
from tests.conftest import Tenant

TENANT_MODELS = [model for model in apps.get_models() if issubclass(model, TenantModel)]


@pytest.mark.parametrize("model", TENANT_MODELS, ids=lambda model: model.__name__)
def test_query_outside_any_scope_raises(model: type[TenantModel]) -> None:
    with pytest.raises(ScopeMissing):
        model.objects.all()  # type: ignore[attr-defined]


def test_every_model_that_names_an_organization_is_scoped() -> None:
    owning = [
        model
        for model in apps.get_models()
        if any(f.attname == "organization_id" for f in model._meta.concrete_fields)
    ]
    assert len(owning) >= 6
    assert [model.__name__ for model in owning if not isinstance(model._default_manager, TenantManager)] == []


def test_scope_shows_its_own_organization_only(tenant: Tenant, stranger: Tenant) -> None:
    with tenant.scope():
        assert set(KnowledgeBase.objects.values_list("pk", flat=True)) == {tenant.library.pk}
        assert not KnowledgeBase.objects.filter(pk=stranger.library.pk).exists()


def test_related_rows_are_scoped_too(tenant: Tenant, stranger: Tenant) -> None:
    with stranger.scope():
        assert list(tenant.library.files.all()) == []


def test_row_of_another_organization_cannot_be_made_in_a_scope(tenant: Tenant, stranger: Tenant) -> None:
    with tenant.scope(), pytest.raises(ScopeMissing):
        Membership.objects.create(organization=stranger.organization, user=tenant.owner, role=Role.VIEWER)


def test_inner_scope_wins_and_the_outer_one_returns() -> None:
    with tenant_scope("org-a"):
        with system_scope("a reason"):
            assert current_scope().organization_id is None
        assert current_scope().organization_id == "org-a"
    with pytest.raises(ScopeMissing):
        current_scope()


def test_scope_of_nobody_is_refused() -> None:
    with pytest.raises(ScopeMissing), tenant_scope(""):
        pass


def test_new_thread_starts_without_a_scope() -> None:
    seen: list[BaseException | None] = []

    def look() -> None:
        try:
            File.objects.all()
            seen.append(None)
        except ScopeMissing as error:
            seen.append(error)

    with tenant_scope("org-a"):
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert isinstance(seen[0], ScopeMissing)


def test_scopes_of_concurrent_coroutines_do_not_mix() -> None:
    async def hold(organization_id: str) -> bool:
        with tenant_scope(organization_id):
            for _ in range(5):
                await asyncio.sleep(0)
                if current_scope().organization_id != organization_id:
                    return False
        return True

    async def many() -> list[bool]:
        return await asyncio.gather(*(hold(f"org-{n}") for n in range(10)))

    assert all(asyncio.run(many()))
