"""Every page of an organization's site, walked by everybody."""

from collections.abc import Callable, Iterator

import pytest
from django.apps import apps
from django.db.models import Model
from django.test import Client

from apps.accounts.models import User
from apps.agents.models import Run
from apps.api.models import IdempotentRequest
from apps.console.organization.base import OrganizationAdmin
from apps.console.organization.pages_urls import urlpatterns  # noqa: F401 - registers the admins
from apps.console.organization.site import site
from apps.documents.models import Document, DocumentVersion
from apps.etl.models import EtlConfig, Firing, Lineage
from apps.events.models import Event
from apps.knowledge.models import AttributeUpdate, CopyJob, DownloadLink, File, KnowledgeBase, Reembedding
from apps.orgs.models import FormerMember, Membership, Organization
from apps.orgs.roles import Role
from apps.orgs.tenancy import TenantModel
from tests.conftest import Tenant
from tests.console.conftest import SHOWN, Everything, fill, list_path, signed_in

ADDED = {
    "membership",
    "invitation",
    "apikey",
    "knowledgebase",
    "agent",
    "actionchain",
    "etlconfig",
    "document",
}
CHANGED = ADDED - {"invitation"} | {"organization"}
DELETED = ADDED | {"organization", "file"}
# What is seen by the one member whose personal knowledge base it is of.
OF_ONE_MEMBER = (KnowledgeBase, File, CopyJob, Reembedding, DownloadLink, EtlConfig, Firing, Run, Document)


def home(tenant: Tenant) -> str:
    return f"/manage/{tenant.organization.pk}/"


def pages_of_row(tenant: Tenant, row: Model) -> Iterator[str]:
    admin = site.get_model_admin(type(row))
    assert isinstance(admin, OrganizationAdmin)
    for page in ("change", "history", *(page.slug for page in admin.pages)):
        yield f"{list_path(tenant, type(row))}{row.pk}/{page}/"


def every_page(tenant: Tenant, everything: Everything) -> Iterator[str]:
    yield home(tenant)
    for model in SHOWN:
        path = list_path(tenant, model)
        yield path
        yield f"{path}add/"
        yield from pages_of_row(tenant, everything.rows[model])
        yield f"{path}{everything.rows[model].pk}/delete/"


def test_site_shows_what_the_tests_know() -> None:
    assert set(site._registry) == set(SHOWN)
    tenant_models = {model for model in apps.get_models() if issubclass(model, TenantModel)}
    # Rows that are shown on another's, and the memory of queues.
    without_page = {AttributeUpdate, DocumentVersion, IdempotentRequest, Lineage}
    assert tenant_models - set(SHOWN) == without_page


@pytest.mark.parametrize("role", [Role.OWNER, Role.ADMIN])
def test_owner_and_admin_see_every_page_and_nothing_foreign(
    role: Role, tenant: Tenant, ours: Everything, theirs: Everything, make_colleague: Callable[[Role], User]
) -> None:
    client = signed_in(tenant.owner if role == Role.OWNER else make_colleague(role))
    for model in SHOWN:
        name, row, path = model._meta.model_name, ours.rows[model], list_path(tenant, model)
        if model is FormerMember and role == Role.ADMIN:
            for page in (path, *pages_of_row(tenant, row)):
                assert client.get(page).status_code == 403, page
            continue
        for query in ("", "?q=ours", "?q=%00", "?o=1&p=1"):
            answer = client.get(path + query)
            assert answer.status_code == (404 if "%00" in query else 200), (path, query)
            assert b"foreign" not in answer.content, path
        assert str(row.pk) in client.get(path).content.decode(), path
        assert client.get(f"{path}add/").status_code == (200 if name in ADDED else 403), path
        for page in pages_of_row(tenant, row):
            answer, expected = client.get(page), 200
            if role == Role.ADMIN:  # whose key it is not, and who owns nothing to transfer
                expected = {"transfer": 403, "rotate": 404}.get(page.split("/")[-2], 200)
            assert answer.status_code == expected, page
            assert b"foreign" not in answer.content, page
        may_delete = name in DELETED and not (model is Organization and role == Role.ADMIN)
        answer = client.get(f"{path}{row.pk}/delete/")
        assert answer.status_code == (200 if may_delete else 403), path
    assert client.get(home(tenant)).status_code == 200
    for label in {model._meta.app_label for model in SHOWN}:
        assert client.get(f"{home(tenant)}{label}/").status_code == 200


def test_rows_of_another_organization_look_like_none(
    boss: Client, tenant: Tenant, theirs: Everything
) -> None:
    for model in SHOWN:
        for page in pages_of_row(tenant, theirs.rows[model]):
            assert boss.get(page).status_code == 404, page
            assert boss.post(page, {"title": "x", "name": "x"}).status_code == 404, page
        delete = f"{list_path(tenant, model)}{theirs.rows[model].pk}/delete/"
        assert boss.post(delete, {"post": "yes"}).status_code in {403, 404}, delete
        assert type(theirs.rows[model])._base_manager.filter(pk=theirs.rows[model].pk).exists()


@pytest.mark.parametrize("role", [Role.EDITOR, Role.VIEWER])
def test_other_members_are_refused_everywhere(
    role: Role, tenant: Tenant, ours: Everything, make_colleague: Callable[[Role], User]
) -> None:
    client = signed_in(make_colleague(role))
    for page in every_page(tenant, ours):
        for answer in (client.get(page), client.post(page, {"post": "yes"})):
            assert (answer.status_code, b"ours" in answer.content) == (403, False), page


def test_strangers_and_operators_find_nothing_anywhere(
    tenant: Tenant, stranger: Tenant, ours: Everything
) -> None:
    operator = User.objects.create_superuser("operator@example.com", "correct horse battery")
    for client in (signed_in(stranger.owner), signed_in(operator)):
        for page in every_page(tenant, ours):
            nowhere = client.get(page.replace(tenant.organization.pk, "org-0000"))
            for answer in (client.get(page), client.post(page, {"post": "yes"})):
                assert (answer.status_code, answer.content) == (404, nowhere.content), page


def test_nobody_is_sent_to_sign_in_where_everybody_does(tenant: Tenant, ours: Everything) -> None:
    for page in every_page(tenant, ours):
        answer = Client().get(page)
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/login/?next={page}")
    right = {"username": tenant.owner.email, "password": "correct horse battery", "next": home(tenant)}
    client = Client()
    assert client.post("/login/", right).headers["Location"] == home(tenant)
    assert client.get(home(tenant)).status_code == 200


def test_key_opens_no_page(tenant: Tenant) -> None:
    answer = Client(headers={"authorization": f"Bearer {tenant.secret}"}).get(home(tenant))
    assert answer.status_code == 302


def test_form_without_its_token_changes_nothing(tenant: Tenant) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(tenant.owner)
    path = f"{list_path(tenant, Organization)}{tenant.organization.pk}/change/"
    assert client.post(path, {"name": "Forged"}).status_code == 403
    assert not Organization.objects.filter(name="Forged").exists()


def test_django_pages_that_reach_rows_by_other_ways_are_not_there(boss: Client, tenant: Tenant) -> None:
    for page in ("login/", "logout/", "password_change/", "autocomplete/?app_label=knowledge", "r/1/x/"):
        assert boss.get(f"{home(tenant)}{page}").status_code == 404, page


def test_what_is_personal_is_seen_by_its_owner_alone(
    admin: Client, tenant: Tenant, ours: Everything, make_colleague: Callable[[Role], User]
) -> None:
    author = make_colleague(Role.EDITOR)
    secret = fill(tenant.organization, author, "secret-diary", is_personal=True)
    for model in SHOWN:
        path = list_path(tenant, model)
        for page in (path, f"{path}?q=ecret-diar", f"{path}add/", *pages_of_row(tenant, ours.rows[model])):
            assert b"secret-diary" not in admin.get(page).content, page
    for model in OF_ONE_MEMBER:
        for page in pages_of_row(tenant, secret.rows[model]):
            assert admin.get(page).status_code == 404, page
            assert admin.post(page).status_code == 404, page
        chosen = {"_selected_action": [secret.rows[model].pk], "post": "yes"}
        for action in ("delete_selected", "reindex", "revoke", "call_off", "cancel", "disable", "retry"):
            admin.post(list_path(tenant, model), chosen | {"action": action})
        assert model._base_manager.filter(pk=secret.rows[model].pk).exists()
    for model in (EtlConfig, DownloadLink, CopyJob, Run):
        row = secret.rows[model]
        row.refresh_from_db()
        told = {field.attname: getattr(row, field.attname) for field in model._meta.concrete_fields}
        assert told.get("is_enabled", True) and told.get("revoked_at") is None
        assert told.get("status", "QUEUED") == "QUEUED"
    with tenant.scope():
        event = Event.objects.filter(subject_id=secret.knowledge_base.pk, is_audit=True).latest("id")
    told_of_it = admin.get(f"{list_path(tenant, Event)}{event.pk}/change/").content
    assert event.kind.encode() in told_of_it and b"secret-diary" not in told_of_it


def test_owner_of_what_is_personal_sees_it(boss: Client, tenant: Tenant) -> None:
    mine = fill(tenant.organization, tenant.owner, "mine", is_personal=True)
    for model in (*OF_ONE_MEMBER, Event):
        assert mine.rows[model].pk is not None
        for page in pages_of_row(tenant, mine.rows[model]):
            assert boss.get(page).status_code == 200, page
    assert "mine base" in boss.get(f"{list_path(tenant, EtlConfig)}add/").content.decode()


def test_who_may_manage_several_organizations_chooses(boss: Client, tenant: Tenant, stranger: Tenant) -> None:
    assert boss.get("/manage/").headers["Location"] == home(tenant)
    assert (
        "no OWNER or ADMIN"
        in signed_in(User.objects.create_user("x@example.com")).get("/manage/").content.decode()
    )
    with stranger.scope():
        Membership.objects.create(organization=stranger.organization, user=tenant.owner, role=Role.ADMIN)
    html = boss.get("/manage/").content.decode()
    assert home(tenant) in html and home(stranger) in html


def test_site_is_linked_where_those_who_may_find_it(
    boss: Client, tenant: Tenant, make_colleague: Callable[[Role], User]
) -> None:
    link = f'href="{home(tenant)}"'
    html = {"accept": "text/html"}
    assert link in boss.get(f"{tenant.url}/knowledgebases", headers=html).content.decode()
    assert link not in boss.get("/orgs", headers=html).content.decode()
    editor = signed_in(make_colleague(Role.EDITOR))
    assert link not in editor.get(tenant.url, headers=html).content.decode()
    operator = signed_in(User.objects.create_superuser("operator@example.com"))
    assert 'href="/manage/"' in operator.get("/admin/").content.decode()


def test_pages_count_as_calls(boss: Client, tenant: Tenant) -> None:
    Organization.objects.filter(pk=tenant.organization.pk).update(plan="pro")
    assert [boss.get(home(tenant)).status_code for _ in range(20)] == [200] * 20
    assert boss.get(f"{home(tenant)}jsi18n/").status_code == 200
    refused = boss.get(home(tenant))
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, True)
    assert "Too many requests" in refused.content.decode()
