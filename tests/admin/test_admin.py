"""The operator's admin: it sees every tenant, and changes things by the same services as the API."""

import re
from collections.abc import Callable

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.mail import EmailMessage
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from apps.accounts.models import User
from apps.api.models import IdempotentRequest
from apps.documents.models import DocumentVersion
from apps.etl.models import Lineage
from apps.events.models import Event
from apps.knowledge.models import AttributeUpdate, File, KnowledgeBase, Tombstone
from apps.knowledge.statuses import FileStatus
from apps.knowledge.uploads import request_upload
from apps.orgs.models import ApiKey, Invitation, Membership, Organization, Plan
from apps.orgs.roles import Role
from apps.orgs.scope import system_scope
from apps.orgs.tenancy import TenantModel
from apps.orgs.usage_models import DailyUsage
from tests.conftest import Tenant, client_with_key, committing

EVERY_MODEL = tuple(admin.site._registry)
# What has no page: rows that are shown on another's, and the memory of queues.
WITHOUT_PAGE = {AttributeUpdate, DocumentVersion, IdempotentRequest, Lineage, Membership}


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_superuser("operator@example.com", "correct horse battery")


@pytest.fixture
def console(operator: User) -> Client:
    client = Client()
    client.force_login(operator)
    return client


@pytest.fixture
def waiting(tenant: Tenant) -> File:
    with tenant.scope():
        file, _ = request_upload(
            knowledge_base=tenant.library,
            creator=tenant.owner,
            file_name="wait.txt",
            content_type="text/plain",
        )
    return file


@pytest.fixture
def failed(tenant: Tenant, upload: Callable[..., File]) -> File:
    """A file with its bytes in the store and an ERROR to its name."""
    file = upload("failed <b>.txt", b"Some text.", "text/plain")
    with system_scope("test"):
        File.objects.filter(pk=file.pk).update(
            status=FileStatus.ERROR, status_message="It went wrong.", error_code="internal_error"
        )
    return file


def status_of(file: File) -> str:
    with system_scope("test"):
        return File.objects.get(pk=file.pk).status


def act(client: Client, model: type, action: str, *rows: object, **more: str) -> str:
    """Run an action over rows of a list, the way the page does; returns the page that follows."""
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")  # type: ignore[attr-defined]
    selected = [row.pk for row in rows]  # type: ignore[attr-defined]
    with committing():
        answer = client.post(url, {"action": action, "_selected_action": selected, **more}, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def change_url(row: object) -> str:
    meta = row._meta  # type: ignore[attr-defined]
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])  # type: ignore[attr-defined]


def test_every_list_and_page_opens(
    console: Client, tenant: Tenant, stranger: Tenant, failed: File, waiting: File
) -> None:
    with system_scope("test"):
        key = ApiKey.objects.get(organization=tenant.organization)
        event = Event.objects.filter(subject_id=failed.pk).latest("id")
    for model in EVERY_MODEL:
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        assert console.get(url).status_code == 200, model
        assert console.get(f"{url}?q=a").status_code == 200, model
    for row in (tenant.owner, tenant.organization, tenant.library, failed, waiting, key, event):
        assert console.get(change_url(row)).status_code == 200, row
    for model in (User, Plan, Organization, KnowledgeBase):
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")
        assert console.get(url).status_code == 200, model
    assert console.get("/admin/").status_code == 200


def test_every_model_of_tenants_has_a_page() -> None:
    tenant_models = {model for model in apps.get_models() if issubclass(model, TenantModel)}
    assert tenant_models - set(EVERY_MODEL) == WITHOUT_PAGE


def test_only_staff_gets_in(tenant: Tenant) -> None:
    client = Client()
    client.force_login(tenant.owner)
    answer = client.get(reverse("admin:knowledge_file_changelist"))
    assert (answer.status_code, "/admin/login/" in answer.headers["Location"]) == (302, True)


def test_files_can_be_filtered_and_found(console: Client, failed: File, waiting: File) -> None:
    url = reverse("admin:knowledge_file_changelist")
    html = console.get(f"{url}?status__exact=ERROR").content.decode()
    assert failed.pk in html and waiting.pk not in html
    assert "It went wrong." in html
    for query in ("wait", waiting.pk):
        html = console.get(url, {"q": query}).content.decode()
        assert waiting.pk in html and failed.pk not in html


def test_file_page_shows_its_history_and_changes_nothing(console: Client, failed: File) -> None:
    html = console.get(change_url(failed)).content.decode()
    assert "file.created" in html and "file.enqueued" in html
    assert "failed &lt;b&gt;.txt" in html
    assert not re.search(r'<(input|select|textarea)[^>]* name="(status|file_name|metadata)"', html)
    console.post(change_url(failed), {"status": "READY", "file_name": "other.txt"})
    assert status_of(failed) == "ERROR"


def test_reindex_queues_files_and_tells_which_can_not_be(
    console: Client, operator: User, failed: File, waiting: File
) -> None:
    html = act(console, File, "reindex", failed, waiting)
    assert "Files queued: 1." in html
    assert "never uploaded" in html
    assert (status_of(failed), status_of(waiting)) == ("ENQUEUED", "WAITING-UPLOAD")
    with system_scope("test"):
        assert Event.objects.filter(subject_id=failed.pk).latest("id").actor_id == operator.pk


def test_retry_touches_failed_files_only(console: Client, failed: File, waiting: File) -> None:
    html = act(console, File, "retry_failed", failed, waiting)
    assert "Files queued: 1." in html
    assert "never uploaded" not in html
    assert status_of(failed) == "ENQUEUED"


def test_deleted_file_leaves_its_tombstone(console: Client, failed: File, waiting: File) -> None:
    asked = act(console, File, "delete_selected", failed)
    assert "Are you sure" in asked and status_of(failed) == "ERROR"
    act(console, File, "delete_selected", failed, post="yes")
    url = reverse("admin:knowledge_file_delete", args=[waiting.pk])
    assert console.post(url, {"post": "yes"}).status_code == 302
    with system_scope("test"):
        assert not File.objects.filter(pk__in=[failed.pk, waiting.pk]).exists()
        assert Tombstone.objects.filter(file_id__in=[failed.pk, waiting.pk], revision=None).count() == 2


def test_knowledge_base_is_made_changed_and_deleted_by_services(
    console: Client, operator: User, tenant: Tenant
) -> None:
    body = {
        "organization": tenant.organization.pk,
        "type": "ORGANIZATION",
        "title": "New",
        "llm_description": "D",
    }
    assert console.post(reverse("admin:knowledge_knowledgebase_add"), body).status_code == 302
    with system_scope("test"):
        made = KnowledgeBase.objects.get(title="New")
    assert made.creator_id == operator.pk
    changed = {"title": "Changed", "llm_description": "D", "is_public": "on"}
    assert console.post(change_url(made), changed).status_code == 302
    with system_scope("test"):
        made.refresh_from_db()
        kinds = list(Event.objects.filter(subject_id=made.pk).values_list("kind", flat=True))
    assert (made.title, made.is_public) == ("Changed", True)
    assert kinds == ["knowledge_base.created", "knowledge_base.updated"]
    with system_scope("test"):
        KnowledgeBase.objects.filter(pk=made.pk).update(type="PERSONAL", is_public=False)
    assert "be public" in console.post(change_url(made), changed).content.decode()
    act(console, KnowledgeBase, "delete_selected", made, post="yes")
    refused = act(console, KnowledgeBase, "delete_selected", tenant.library, post="yes")
    assert "default library" in refused
    with system_scope("test"):
        assert list(KnowledgeBase.objects.filter(organization=tenant.organization)) == [tenant.library]


def test_new_organization_has_owner_and_library(console: Client, tenant: Tenant) -> None:
    body = {"name": "Made here", "owner": tenant.owner.pk, "plan": "pro"}
    assert console.post(reverse("admin:orgs_organization_add"), body).status_code == 302
    made = Organization.objects.get(name="Made here")
    with system_scope("test"):
        assert Membership.objects.get(organization=made).role == Role.OWNER
        assert KnowledgeBase.objects.filter(organization=made, is_default=True).exists()
    assert made.plan_id == "pro"


def test_deleted_organization_takes_its_files_along(
    console: Client, tenant: Tenant, stranger: Tenant, failed: File
) -> None:
    act(console, Organization, "delete_selected", tenant.organization, post="yes")
    assert list(Organization.objects.all()) == [stranger.organization]
    with system_scope("test"):
        assert Tombstone.objects.filter(file_id=failed.pk, revision=None).exists()


def test_plan_of_new_organizations_is_not_deleted(console: Client, settings: Settings) -> None:
    settings.DEFAULT_PLAN = "spare"
    needed, other = Plan.objects.create(name="spare"), Plan.objects.create(name="other")
    for plan in (needed, other):
        console.post(f"/admin/orgs/plan/{plan.pk}/delete/", {"post": "yes"})
    assert list(Plan.objects.filter(name__in=["spare", "other"])) == [needed]
    together = {"action": "delete_selected", "_selected_action": [needed.pk], "post": "yes"}
    assert console.post("/admin/orgs/plan/", together).status_code == 403
    assert Plan.objects.filter(name="spare").exists()


def member_forms(console: Client, tenant: Tenant, *rows: dict[str, str]) -> dict[str, str]:
    """The organization's page with these rows of members, the existing ones first."""
    with tenant.scope():
        existing = list(Membership.objects.order_by("created_at"))
    prefix = re.search(
        r'name="([\w-]*)TOTAL_FORMS"', console.get(change_url(tenant.organization)).content.decode()
    )
    assert prefix
    body = {
        "name": tenant.organization.name,
        "plan": "local",
        f"{prefix[1]}TOTAL_FORMS": str(len(rows)),
        f"{prefix[1]}INITIAL_FORMS": str(len(existing)),
    }
    for number, row in enumerate(rows):
        if number < len(existing):
            row = {"id": existing[number].pk, "user": existing[number].user_id} | row
        body |= {f"{prefix[1]}{number}-{name}": value for name, value in row.items()}
        body[f"{prefix[1]}{number}-organization"] = tenant.organization.pk
    return body


def test_members_are_edited_on_the_organizations_page_and_the_log_tells(
    console: Client, tenant: Tenant, stranger: Tenant, operator: User
) -> None:
    url = change_url(tenant.organization)
    rows = {"role": "OWNER"}, {"user": stranger.owner.pk, "role": "VIEWER"}
    assert console.post(url, member_forms(console, tenant, *rows)).status_code == 302
    rows = {"role": "OWNER"}, {"role": "ADMIN"}
    assert console.post(url, member_forms(console, tenant, *rows)).status_code == 302
    with tenant.scope():
        assert Membership.objects.get(user=stranger.owner).role == Role.ADMIN
    rows = {"role": "OWNER"}, {"role": "ADMIN", "DELETE": "on"}
    assert console.post(url, member_forms(console, tenant, *rows)).status_code == 302
    with tenant.scope():
        assert Membership.objects.count() == 1
        told = Event.objects.filter(subject_id=stranger.owner.pk).values_list("kind", "actor_id", "address")
        assert list(told) == [
            ("member.added", operator.pk, "127.0.0.1"),
            ("member.role_changed", operator.pk, "127.0.0.1"),
            ("member.removed", operator.pk, "127.0.0.1"),
        ]


def test_last_owner_stays_one_in_the_admin_too(console: Client, tenant: Tenant) -> None:
    for row in ({"role": "VIEWER"}, {"role": "OWNER", "DELETE": "on"}):
        body = member_forms(console, tenant, row) | {"name": "Renamed"}
        answer = console.post(change_url(tenant.organization), body, follow=True)
        assert "This is the last OWNER." in answer.content.decode()
    with tenant.scope():
        assert Membership.objects.get().role == Role.OWNER
    assert Organization.objects.get(pk=tenant.organization.pk).name == "Acme"  # all of the form, or nothing


def test_operator_renames_and_gives_another_plan(console: Client, tenant: Tenant) -> None:
    body = member_forms(console, tenant, {"role": "OWNER"}) | {"name": "Acme Ltd", "plan": "team"}
    assert console.post(change_url(tenant.organization), body).status_code == 302
    organization = Organization.objects.get(pk=tenant.organization.pk)
    assert (organization.name, organization.plan_id) == ("Acme Ltd", "team")
    with tenant.scope():
        told = Event.objects.filter(subject_id=organization.pk).values_list("kind", flat=True)
        assert list(told)[-2:] == ["organization.renamed", "organization.plan_changed"]


def test_operator_invites_sends_again_and_revokes(
    console: Client, tenant: Tenant, mailoutbox: list[EmailMessage]
) -> None:
    body = {"organization": tenant.organization.pk, "email": "Grace@Example.com", "role": "OWNER"}
    with committing():
        assert console.post(reverse("admin:orgs_invitation_add"), body).status_code == 302
    assert [mail.to for mail in mailoutbox] == [["grace@example.com"]]
    with system_scope("test"):
        invitation = Invitation.objects.get()
    assert console.get(reverse("admin:orgs_invitation_changelist") + "?q=grace").status_code == 200
    assert "Too many requests" in act(console, Invitation, "send_again", invitation)
    refused = console.post(
        reverse("admin:orgs_invitation_add"), body | {"email": tenant.owner.email}, follow=True
    )
    assert "a member already" in refused.content.decode()
    assert "revoked" in act(console, Invitation, "revoke", invitation)
    with system_scope("test"):
        assert not Invitation.objects.exists()


def test_revoked_key_opens_nothing_and_its_secret_is_nowhere(console: Client, tenant: Tenant) -> None:
    with system_scope("test"):
        key = ApiKey.objects.get(organization=tenant.organization)
    url = reverse("admin:orgs_apikey_changelist")
    for html in (console.get(url).content.decode(), console.get(change_url(key)).content.decode()):
        assert key.hint in html
        assert tenant.secret not in html and key.secret_hash not in html
    assert client_with_key(tenant.secret).get("/orgs").status_code == 200
    assert "Keys revoked: 1." in act(console, ApiKey, "revoke", key)
    assert client_with_key(tenant.secret).get("/orgs").status_code == 401


def test_account_is_made_and_known_by_its_address(console: Client) -> None:
    body = {
        "email": "New@Example.com",
        "usable_password": "true",
        "password1": "correct horse battery",
        "password2": "correct horse battery",
    }
    answer = console.post(reverse("admin:accounts_user_add"), body)
    assert answer.status_code == 302, re.findall(r'class="errorlist.*?</ul>', answer.content.decode(), re.S)
    assert User.objects.get(email__iexact="new@example.com").check_password("correct horse battery")
    again = console.post(reverse("admin:accounts_user_add"), body | {"email": "NEW@example.com"})
    assert again.status_code == 200


def test_history_can_not_be_changed(console: Client, failed: File) -> None:
    with system_scope("test"):
        event = Event.objects.filter(subject_id=failed.pk).latest("id")
    assert console.post(change_url(event), {"kind": "forged"}).status_code == 403
    assert (
        console.post(reverse("admin:events_event_delete", args=[event.pk]), {"post": "yes"}).status_code
        == 403
    )
    assert console.get(reverse("admin:events_event_add")).status_code == 403


def test_plan_is_edited_here_and_keeps_to_what_can_be_counted(console: Client, tenant: Tenant) -> None:
    plan = Plan.objects.get(name="pro")
    body = {"name": "pro", "requests_per_minute": 2, "max_files": 0}
    assert console.post(change_url(plan), body).status_code == 302
    caller = client_with_key(tenant.secret)
    Organization.objects.filter(pk=tenant.organization.pk).update(plan="pro")
    assert [caller.get("/orgs").status_code for _ in range(3)] == [200, 200, 429]
    refused = console.post(change_url(plan), body | {"requests_per_minute": 100_001})
    assert "less than or equal to 100000" in refused.content.decode()


def test_usage_is_seen_here_and_not_changed(console: Client, tenant: Tenant) -> None:
    with tenant.scope():
        row = DailyUsage.objects.create(
            organization=tenant.organization, day="2026-01-05", key_id="key-a", requests=4711
        )
    html = console.get(reverse("admin:orgs_dailyusage_changelist")).content.decode()
    assert "Acme" in html and "4711" in html
    assert console.post(change_url(row), {"requests": 0}).status_code == 403


def test_account_of_a_member_is_not_deleted(console: Client, tenant: Tenant) -> None:
    asked = act(console, User, "delete_selected", tenant.owner, post="yes")
    assert "Cannot delete user" in asked
    assert User.objects.filter(pk=tenant.owner.pk).exists()
