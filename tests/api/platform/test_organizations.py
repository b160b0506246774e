import re
import threading
from collections.abc import Callable

import pytest
from django.db import connection
from pytest_django import Settings

from apps.accounts.models import User
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.models import File, KnowledgeBase, Tombstone
from apps.knowledge.uploads import request_upload
from apps.orgs.models import Membership, Organization
from apps.orgs.roles import Ability, Role
from apps.orgs.scope import system_scope
from apps.orgs.services import delete_organization
from apps.orgs.signals import organization_deleting
from tests.conftest import CommittingClient, Tenant

RFC3339_Z = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def test_caller_sees_own_organizations_only(api: CommittingClient, tenant: Tenant, stranger: Tenant) -> None:
    answer = api.get("/orgs")
    assert answer.status_code == 200
    body = answer.json()
    assert (body["totalRows"], body["offset"]) == (1, 0)
    (item,) = body["items"]
    assert set(item) == {"organizationId", "name", "plan", "createdAt", "updatedAt"}
    assert (item["organizationId"], item["name"], item["plan"]) == (tenant.organization.pk, "Acme", "local")
    assert RFC3339_Z.fullmatch(item["createdAt"])


def test_creator_becomes_owner_with_a_default_library(api: CommittingClient, tenant: Tenant) -> None:
    answer = api.post("/orgs", {"name": "  Second  "}, format="json")
    assert answer.status_code == 201
    assert answer.json()["name"] == "Second"
    with system_scope("test"):
        made = answer.json()["organizationId"]
        assert Membership.objects.get(organization_id=made).role == Role.OWNER
        assert KnowledgeBase.objects.get(organization_id=made).is_default


def test_new_organization_has_the_plan_that_the_operator_chose(
    api: CommittingClient, settings: Settings
) -> None:
    settings.DEFAULT_PLAN = "pro"
    assert api.post("/orgs", {"name": "Second"}, format="json").json()["plan"] == "pro"


def test_plan_that_is_missing_is_told_and_nothing_is_made(api: CommittingClient, settings: Settings) -> None:
    settings.DEFAULT_PLAN = "locl"
    answer = api.post("/orgs", {"name": "Second"}, format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "plan_missing")
    assert "'locl'" in answer.json()["error"]["message"]
    assert not Organization.objects.filter(name="Second").exists()


def test_session_reaches_every_organization_of_its_user(tenant: Tenant, anonymous: CommittingClient) -> None:
    anonymous.force_login(tenant.owner)
    made = anonymous.post("/orgs", {"name": "Second"}, format="json").json()["organizationId"]
    assert anonymous.get("/orgs").json()["totalRows"] == 2
    assert anonymous.get(f"/orgs/{made}").status_code == 200


def test_key_does_not_reach_its_users_other_organization(api: CommittingClient, tenant: Tenant) -> None:
    made = api.post("/orgs", {"name": "Second"}, format="json").json()["organizationId"]
    assert api.get(f"/orgs/{made}").status_code == 404
    assert api.get("/orgs").json()["totalRows"] == 1


def test_organization_is_renamed(api: CommittingClient, tenant: Tenant) -> None:
    answer = api.put(tenant.url, {"name": "Acme Ltd"}, format="json")
    assert (answer.status_code, answer.json()["name"]) == (200, "Acme Ltd")
    assert api.get(tenant.url).json()["name"] == "Acme Ltd"


def test_deleted_organization_takes_everything_with_it(
    api: CommittingClient, tenant: Tenant, anonymous: CommittingClient
) -> None:
    answer = api.delete(tenant.url)
    assert answer.status_code == 200
    assert answer.json() == {"message": "Organization deleted", "organizationId": tenant.organization.pk}
    assert not Organization.objects.filter(pk=tenant.organization.pk).exists()
    with system_scope("test"):
        assert not KnowledgeBase.objects.filter(organization_id=tenant.organization.pk).exists()
    assert api.get(tenant.url).status_code == 401  # the key went too


def test_admin_renames_but_only_owner_deletes(
    make_member: Callable[..., tuple[User, CommittingClient]], tenant: Tenant
) -> None:
    _, admin = make_member(Role.ADMIN)
    _, editor = make_member(Role.EDITOR)
    assert editor.put(tenant.url, {"name": "x"}, format="json").status_code == 403
    assert admin.put(tenant.url, {"name": "Renamed"}, format="json").status_code == 200
    assert admin.delete(tenant.url).status_code == 403


def test_key_without_manage_makes_no_organization(
    make_key: Callable[..., CommittingClient], tenant: Tenant
) -> None:
    answer = make_key(Ability.KB_CREATE, Ability.FILES_WRITE).post("/orgs", {"name": "Sneaky"}, format="json")
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "permission_denied"


def test_list_is_paged_and_ordered(tenant: Tenant, anonymous: CommittingClient) -> None:
    anonymous.force_login(tenant.owner)
    for name in ("Beta", "Alpha"):
        anonymous.post("/orgs", {"name": name}, format="json")

    def names(query: str) -> list[str]:
        return [item["name"] for item in anonymous.get(f"/orgs?{query}").json()["items"]]

    assert names("orderBy=name") == ["Acme", "Alpha", "Beta"]
    assert names("orderBy=-name&limit=1&cursor=1") == ["Alpha"]
    page = anonymous.get("/orgs?limit=1&cursor=2").json()
    assert (page["totalRows"], page["offset"], len(page["items"])) == (3, 2, 1)
    assert anonymous.get("/orgs?cursor=99").json() == {"items": [], "totalRows": 3, "offset": 99}


@pytest.mark.topology("full")  # SQLite has one writer
@pytest.mark.django_db(transaction=True)
def test_what_comes_in_while_an_organization_is_deleted_leaves_no_orphan(
    make_tenant: Callable[[str], Tenant],
) -> None:
    tenant, made = make_tenant("Brief"), []

    def announce() -> None:
        try:
            with tenant.scope():
                shelf = create_knowledge_base(
                    organization=tenant.organization, creator=tenant.owner, title="Late"
                )
                file, _ = request_upload(
                    knowledge_base=shelf, creator=tenant.owner, file_name="a.txt", content_type="text/plain"
                )
                made.append(file.pk)
        finally:
            connection.close()

    def at_the_worst_moment(**_: object) -> None:
        if not made:
            thread = threading.Thread(target=announce)
            thread.start()
            thread.join(30)

    organization_deleting.connect(at_the_worst_moment)
    try:
        delete_organization(organization=tenant.organization)
    finally:
        organization_deleting.disconnect(at_the_worst_moment)
    with system_scope("test"):
        assert not File.objects.filter(pk__in=made).exists()
        assert (
            list(Tombstone.objects.filter(file_id__in=made).values_list("file_id", flat=True)) == made != []
        )
