import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from apps.accounts.models import User
from apps.events.models import Event, Purge
from apps.events.retention import forget_old_events
from apps.events.services import record
from apps.orgs import refusals
from apps.orgs.models import ApiKey, Membership, Organization
from apps.orgs.roles import Ability, Role
from apps.orgs.scope import system_scope
from tests.conftest import CommittingClient, Tenant, client_with_key

MakeMember = Callable[..., tuple[User, CommittingClient]]


def log(client: CommittingClient, tenant: Tenant, **query: Any) -> list[dict[str, Any]]:
    answer = client.get(f"{tenant.url}/audit-log", query)
    assert answer.status_code == 200, answer.content
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def body(answer: Any) -> str:
    """All of a streamed answer."""
    return b"".join(answer).decode()


def test_change_is_told_with_who_what_when_and_from_where(api: CommittingClient, tenant: Tenant) -> None:
    before = timezone.now()
    answer = api.put(
        tenant.url, {"name": "Acme Ltd"}, format="json", REMOTE_ADDR="203.0.113.7", HTTP_USER_AGENT="curl/8"
    )
    assert answer.status_code == 200
    entry = log(api, tenant)[0]
    with tenant.scope():
        key = ApiKey.objects.get()
    assert {name: entry[name] for name in entry if name not in {"eventId", "createdAt"}} == {
        "kind": "organization.renamed",
        "subjectId": tenant.organization.pk,
        "knowledgeBaseId": None,
        "actorUserId": tenant.owner.pk,
        "actorEmail": tenant.owner.email,
        "apiKeyId": key.pk,
        "ipAddress": "203.0.113.7",
        "userAgent": "curl/8",
        "message": None,
        "payload": {"name": "Acme Ltd", "before": "Acme"},
    }
    assert before.isoformat() < entry["createdAt"].replace("Z", "+00:00") < timezone.now().isoformat()


def test_opening_a_knowledge_base_to_other_organizations_is_told(
    api: CommittingClient, tenant: Tenant
) -> None:
    said = {"title": tenant.library.title, "llmDescription": "For all."}
    for is_public in (True, False):
        answer = api.put(tenant.library_url, said | {"isPublic": is_public}, format="json")
        assert answer.status_code == 200
        told = log(api, tenant)[0]["payload"]
        assert "is_public" in told["changed"] and told["isPublic"] is is_public
    assert api.put(tenant.library_url, said | {"title": "Open"}, format="json").status_code == 200
    assert log(api, tenant)[0]["payload"]["changed"] == ["title"]


def test_every_change_leaves_an_entry(
    api: CommittingClient, tenant: Tenant, stranger: Tenant, anonymous: CommittingClient
) -> None:
    anonymous.force_login(tenant.owner)  # a session is told as well as a key
    kb = {"title": "Shelf", "llmDescription": "Books.", "type": "ORGANIZATION"}
    shelf = (
        f"{tenant.url}/knowledgebases/"
        + (anonymous.post(f"{tenant.url}/knowledgebases", kb, format="json").json()["knowledgeBaseId"])
    )
    anonymous.put(shelf, kb, format="json")
    announced = {"fileName": "a.txt", "contentType": "text/plain"}
    file = anonymous.post(f"{shelf}/files/upload-url", announced, format="json").json()["fileId"]
    anonymous.delete(f"{shelf}/files/{file}")
    anonymous.delete(shelf)
    member = {"email": stranger.owner.email, "role": "VIEWER"}
    anonymous.post(f"{tenant.url}/members", member, format="json")
    anonymous.put(f"{tenant.url}/members/{stranger.owner.pk}", {"role": "EDITOR"}, format="json")
    anonymous.delete(f"{tenant.url}/members/{stranger.owner.pk}")
    invited = {"email": "x@example.com", "role": "VIEWER"}
    invitation = anonymous.post(f"{tenant.url}/invitations", invited, format="json").json()["invitationId"]
    anonymous.delete(f"{tenant.url}/invitations/{invitation}")
    key = anonymous.post(f"{tenant.url}/api-keys", {"name": "k"}, format="json").json()["keyId"]
    anonymous.post(f"{tenant.url}/api-keys/{key}/rotate", {}, format="json")
    anonymous.delete(f"{tenant.url}/api-keys/{key}")
    entries = log(api, tenant, limit=13)
    assert [entry["kind"] for entry in reversed(entries)] == [
        "knowledge_base.created",
        "knowledge_base.updated",
        "file.created",
        "file.deleted",
        "knowledge_base.deleted",
        "member.added",
        "member.role_changed",
        "member.removed",
        "invitation.sent",
        "invitation.revoked",
        "api_key.created",
        "api_key.rotated",
        "api_key.revoked",
    ]
    for entry in entries:
        assert (entry["actorUserId"], entry["apiKeyId"]) == (tenant.owner.pk, None), entry
        assert entry["ipAddress"] == "127.0.0.1"


def test_refused_change_and_what_the_system_does_leave_none(
    api: CommittingClient, tenant: Tenant, ingest: Callable[..., Any]
) -> None:
    before = len(log(api, tenant, limit=100))
    assert api.delete(f"{tenant.url}/members/{tenant.owner.pk}").status_code == 409
    assert len(log(api, tenant, limit=100)) == before
    ingest("a.txt", b"Some text to read.", "text/plain")
    assert [entry["kind"] for entry in log(api, tenant)][: -before or None] == ["file.created"]


def test_log_is_filtered_and_paged(api: CommittingClient, tenant: Tenant, make_member: MakeMember) -> None:
    editor, as_editor = make_member(Role.EDITOR)
    kb = {"title": "Shelf", "llmDescription": "Books.", "type": "ORGANIZATION"}
    made = as_editor.post(f"{tenant.url}/knowledgebases", kb, format="json").json()["knowledgeBaseId"]
    assert [entry["subjectId"] for entry in log(api, tenant, actorUserId=editor.pk)] == [made]
    assert [entry["kind"] for entry in log(api, tenant, subjectId=made)] == ["knowledge_base.created"]
    assert {entry["kind"] for entry in log(api, tenant, kind="api_key")} == {"api_key.created"}
    assert log(api, tenant, kind="api") == []
    with tenant.scope():
        key = ApiKey.objects.get(user=editor)
    told = [entry["kind"] for entry in log(api, tenant, apiKeyId=key.pk)]
    assert told == ["knowledge_base.created", "api_key.created"]
    now = timezone.now().isoformat()
    assert log(api, tenant, since=now) == []
    everything = log(api, tenant, until=now, limit=100)
    page = api.get(f"{tenant.url}/audit-log?limit=2&cursor=1").json()
    assert page["items"] == everything[1:3] and page["totalRows"] == len(everything)
    assert log(api, tenant, orderBy="createdAt", limit=100) == everything[::-1]
    for bad in ("since=yesterday", "cursor=x", "limit=0", "orderBy=payload"):
        assert api.get(f"{tenant.url}/audit-log?{bad}").status_code == 400, bad


def test_log_is_its_organizations_own_and_an_admins(
    tenant: Tenant, stranger: Tenant, make_member: MakeMember, make_key: Callable[..., CommittingClient]
) -> None:
    _, admin = make_member(Role.ADMIN)
    _, editor = make_member(Role.EDITOR)
    for client, status in ((admin, 200), (editor, 403), (make_key(Ability.KB_READ), 403)):
        for form in ("", "?format=csv"):
            assert client.get(f"{tenant.url}/audit-log{form}").status_code == status
    told = json.dumps(log(admin, tenant, limit=100))
    assert stranger.owner.pk not in told and stranger.organization.pk not in told


def test_export_has_every_entry_oldest_first(
    api: CommittingClient, tenant: Tenant, stranger: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.api.platform.audit_export.BATCH", 3)
    with tenant.scope(), transaction.atomic():
        for number in range(8):
            record("test.done", organization_id=tenant.organization.pk, subject_id=str(number), is_audit=True)
    everything = log(api, tenant, limit=100)[::-1]
    answer = api.get(f"{tenant.url}/audit-log?format=jsonl")
    assert answer["Content-Type"] == "application/jsonl"
    assert answer.is_async  # type: ignore[attr-defined]  # the stubs think that no view streams
    lines = body(answer).splitlines()
    assert [json.loads(line) for line in lines] == everything
    some = body(api.get(f"{tenant.url}/audit-log?format=jsonl&kind=test&limit=1")).splitlines()
    assert [json.loads(line)["subjectId"] for line in some] == [str(number) for number in range(8)]
    table = api.get(f"{tenant.url}/audit-log?format=csv")
    assert table["Content-Disposition"].startswith('attachment; filename="audit-log-org-')
    rows = list(csv.DictReader(io.StringIO(body(table))))
    assert [row["eventId"] for row in rows] == [entry["eventId"] for entry in everything]
    assert json.loads(rows[0]["payload"]) == everything[0]["payload"]


def test_form_of_an_export_that_there_is_not_is_refused(api: CommittingClient, tenant: Tenant) -> None:
    answer = api.get(f"{tenant.url}/audit-log?format=xlsx")
    assert answer.status_code == 400
    assert "csv" in str(answer.json()["error"]["fields"]["format"])


def test_exported_cell_is_no_formula(api: CommittingClient, tenant: Tenant) -> None:
    api.put(tenant.url, {"name": "x"}, format="json", HTTP_USER_AGENT='=HYPERLINK("http://evil")')
    table = body(api.get(f"{tenant.url}/audit-log?format=csv"))
    agent = list(csv.DictReader(io.StringIO(table)))[-1]["userAgent"]
    assert agent == '\'=HYPERLINK("http://evil")'


def test_refused_keys_are_told_by_hint_and_counted(
    api: CommittingClient, tenant: Tenant, make_key: Callable[..., CommittingClient]
) -> None:
    _, expired = make_key(Ability.KB_READ), make_key(Ability.KB_READ, lifetime=timedelta(seconds=-1))
    for _ in range(12):
        assert expired.get("/orgs", REMOTE_ADDR="2001:db8::7").status_code == 401
    entries = log(api, tenant, kind="api_key.refused")
    assert [entry["payload"]["countInMinute"] for entry in entries] == [10, 1]
    with tenant.scope():
        key = ApiKey.objects.get(expires_at__isnull=False)
    assert entries[0]["subjectId"] == key.pk and entries[0]["ipAddress"] == "2001:db8::7"
    assert entries[0]["payload"] == {"reason": "expired", "hint": key.hint, "countInMinute": 10}
    assert entries[0]["actorUserId"] is None


@pytest.mark.parametrize("reason", ["revoked", "rotated", "inactive_user"])
def test_reason_of_a_refusal_is_told(api: CommittingClient, tenant: Tenant, reason: str) -> None:
    with tenant.scope():
        key = ApiKey.objects.get()
        if reason == "revoked":
            ApiKey.objects.update(revoked_at=timezone.now())
        elif reason == "rotated":
            ApiKey.objects.update(
                secret_hash="0" * 64,
                previous_secret_hash=key.secret_hash,
                previous_secret_expires_at=timezone.now(),
            )
        else:
            User.objects.filter(pk=tenant.owner.pk).update(is_active=False)
    assert api.get("/orgs").status_code == 401
    with tenant.scope():
        assert Event.objects.get(kind="api_key.refused").payload["reason"] == reason


def test_unknown_key_is_nobodys_and_a_password_is_not_written_down(tenant: Tenant) -> None:
    assert client_with_key("cp_guess-guess-guess").get("/orgs").status_code == 401
    assert client_with_key("hunter2hunter2").get("/orgs", REMOTE_ADDR="10.0.0.9").status_code == 401
    with system_scope("test"):
        events = Event.objects.filter(kind="api_key.refused", organization=None)
        assert [event.payload["hint"] for event in events] == ["cp_guess", ""]
        assert [event.subject_id for event in events] == ["unknown", "unknown"]
    with tenant.scope():
        assert not Event.objects.filter(kind="api_key.refused").exists()


def test_guessing_from_many_addresses_fills_no_disk(tenant: Tenant) -> None:
    guesser = client_with_key("cp_guess")
    for number in range(200):
        guesser.get("/orgs", REMOTE_ADDR=f"10.1.{number // 100}.{number % 100}")
    with system_scope("test"):
        assert Event.objects.filter(kind="api_key.refused").count() <= refusals.MAX_SOURCES + 3


def test_log_can_be_neither_changed_nor_shortened(tenant: Tenant) -> None:
    with tenant.scope():
        event = Event.objects.filter(is_audit=True).latest("pk")
        for forge in (
            lambda: Event.objects.update(actor_id=""),
            lambda: Event.objects.all().delete(),
            event.delete,
            event.save,
        ):
            with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
                forge()
        assert Event.objects.filter(pk=event.pk).exists()


def test_triggers_come_back_with_every_migration(tenant: Tenant) -> None:
    drop = {
        "sqlite": "DROP TRIGGER event_kept",
        "postgresql": "DROP TRIGGER event_append_only ON events_event",
    }
    with connection.cursor() as cursor:
        cursor.execute(drop[connection.vendor])
    call_command("migrate", verbosity=0)
    with tenant.scope(), pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Event.objects.all().delete()


def test_old_entries_are_forgotten_and_no_others(tenant: Tenant, settings: Any) -> None:
    settings.AUDIT_RETENTION_DAYS = 30
    with tenant.scope(), transaction.atomic():
        young = set(Event.objects.values_list("pk", flat=True))
        least = min(young)
        old = [
            Event(
                pk=least - 1 - number,
                organization=tenant.organization,
                kind="test.done",
                subject_id="x",
                created_at=timezone.now() - timedelta(days=31),
            )
            for number in range(5)
        ]
        Event.objects.bulk_create(old)
    assert forget_old_events() == len(old)
    assert forget_old_events() == 0
    with tenant.scope():
        assert set(Event.objects.values_list("pk", flat=True)) == young
    assert not Purge.objects.exists()  # the gate is closed again
    settings.AUDIT_RETENTION_DAYS = 0
    assert forget_old_events() == 0


def test_deletion_of_an_organization_is_remembered(api: CommittingClient, tenant: Tenant) -> None:
    assert api.delete(tenant.url).status_code == 200
    assert not Organization.objects.filter(pk=tenant.organization.pk).exists()
    with system_scope("test"):
        assert not Membership.objects.exists()
        last = Event.objects.latest("pk")
    assert (last.kind, last.organization_id, last.actor_id) == (
        "organization.deleted",
        tenant.organization.pk,
        tenant.owner.pk,
    )
    assert last.address == "127.0.0.1"


def test_updates_tell_which_fields_changed(api: CommittingClient, tenant: Tenant) -> None:
    steps = [{"kind": "add-tags", "parameters": {"tags": ["seen"]}}]
    agent = api.post(f"{tenant.url}/agents", {"name": "A", "instructions": "Read."}, format="json").json()
    chain = api.post(f"{tenant.url}/action-chains", {"name": "C", "steps": steps}, format="json").json()
    etl = {"etlType": "agent", "agentId": agent["agentId"]}
    etl_id = api.post(f"{tenant.library_url}/etls", etl, format="json").json()["etlId"]
    for url, said, kind, changed in (
        (f"/agents/{agent['agentId']}", {"name": "A", "instructions": "Do."}, "agent", ["instructions"]),
        (f"/action-chains/{chain['actionChainId']}", {"name": "D", "steps": steps}, "action_chain", ["name"]),
        (
            f"/knowledgebases/{tenant.library.pk}/etls/{etl_id}",
            etl | {"isEnabled": False, "prompt": "Do."},
            "etl",
            ["is_enabled", "prompt"],
        ),
    ):
        answer = api.put(f"{tenant.url}{url}", said, format="json")
        assert answer.status_code == 200, answer.content
        assert log(api, tenant, kind=f"{kind}.updated")[0]["payload"]["changed"] == changed


def test_new_key_tells_what_it_can_do_and_until_when(api: CommittingClient, tenant: Tenant) -> None:
    said = {"name": "k", "scopes": ["kb.read"], "expiresAt": "2126-01-01T00:00:00Z"}
    assert api.post(f"{tenant.url}/api-keys", said, format="json").status_code == 201
    told = log(api, tenant, kind="api_key.created")[0]["payload"]
    assert (told["scopes"], told["expiresAt"]) == (["kb.read"], "2126-01-01T00:00:00Z")
