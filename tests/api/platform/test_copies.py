"""Copies over HTTP: who may ask for them, what is answered, how they are watched and called off."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.accounts.models import User
from apps.events.models import Event
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.models import CopyJob, File, KnowledgeBase
from apps.orgs.keys import create_api_key
from apps.orgs.models import ApiKey, Membership
from apps.orgs.roles import Ability, Role
from apps.orgs.scope import system_scope
from tests.conftest import CommittingClient, Tenant, Upload, client_with_key

COPY_FIELDS = {
    "copyId",
    "status",
    "progress",
    "sourceOrganizationId",
    "sourceKnowledgeBaseId",
    "sourceFileId",
    "targetOrganizationId",
    "targetKnowledgeBaseId",
    "targetFileId",
    "filesTotal",
    "filesDone",
    "filesFailed",
    "bytesDone",
    "error",
    "creatorUserId",
    "createdAt",
    "startedAt",
    "finishedAt",
}
Run = Callable[[], int]


def _session(user: User) -> CommittingClient:
    client = CommittingClient()
    client.force_login(user)
    return client


def _join(tenant: Tenant, user: User, role: Role) -> None:
    with tenant.scope():
        Membership.objects.create(organization=tenant.organization, user=user, role=role)


def _open_to_all(api: CommittingClient, tenant: Tenant) -> None:
    api.put(
        tenant.library_url, {"title": "Open", "llmDescription": "For all.", "isPublic": True}, format="json"
    )


def _copy(client: CommittingClient, source: Tenant, target: Tenant, **headers: Any) -> Any:
    body = {"targetOrganizationId": target.organization.pk}
    return client.post(f"{source.library_url}/copy-to", body, format="json", headers=headers)


def _target(tenant: Tenant) -> dict[str, str]:
    return {"targetKnowledgeBaseId": tenant.library.pk, "targetOrganizationId": tenant.organization.pk}


def test_copy_within_the_organization_answers_a_new_knowledge_base(
    api: CommittingClient, tenant: Tenant, ingest: Upload, run_workers: Run
) -> None:
    ingest("a.txt", b"The heron stands on one leg.", "text/plain")
    answer = _copy(api, tenant, tenant)
    assert answer.status_code == 202
    made = answer.json()
    copy = made.pop("copy")
    assert set(copy) == COPY_FIELDS
    assert made["knowledgeBaseId"] != tenant.library.pk
    url = f"{tenant.url}/knowledgebases/{made['knowledgeBaseId']}"
    run_workers()
    read = api.get(url).json()
    assert {**read, "updatedAt": None} == {**made, "updatedAt": None}
    assert [file["status"] for file in api.get(f"{url}/files").json()["items"]] == ["READY"]
    watched = api.get(f"{url}/copies/{copy['copyId']}").json()
    assert (watched["status"], watched["progress"], watched["filesDone"]) == ("SUCCEEDED", 100, 1)
    assert watched["startedAt"] and watched["finishedAt"]
    found = api.post(f"{url}/search", {"query": "heron"}, format="json").json()["results"]
    assert [passage["fileName"] for passage in found] == ["a.txt"]


def test_file_is_copied_by_either_path(
    api: CommittingClient, tenant: Tenant, ingest: Upload, run_workers: Run
) -> None:
    file = ingest("a.txt", b"The heron stands on one leg.", "text/plain")
    with tenant.scope():
        other = create_knowledge_base(organization=tenant.organization, creator=tenant.owner, title="Other")
    for word in ("file", "files"):
        answer = api.post(
            f"{tenant.library_url}/{word}/{file.pk}/copy-to",
            {"targetKnowledgeBaseId": other.pk},
            format="json",
        )
        assert answer.status_code == 202
        made = answer.json()
        assert (made["knowledgeBaseId"], made["fileName"]) == (other.pk, "a.txt")
        assert made["copy"]["targetFileId"] == made["fileId"] != file.pk
        run_workers()
        url = f"{tenant.url}/knowledgebases/{other.pk}/files/{made['fileId']}"
        assert (api.get(url).json()["status"], api.get(url).json()["progress"]) == ("READY", 100)


def test_file_without_bytes_can_not_be_copied(
    api: CommittingClient, tenant: Tenant, waiting_file: File
) -> None:
    answer = api.post(f"{tenant.library_url}/file/{waiting_file.pk}/copy-to", _target(tenant), format="json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_uploaded")


def test_session_reaches_the_users_other_organizations_and_a_key_does_not(
    api: CommittingClient, tenant: Tenant, stranger: Tenant, ingest: Upload
) -> None:
    file = ingest("a.txt", b"The heron stands on one leg.", "text/plain")
    _join(stranger, tenant.owner, Role.EDITOR)
    to_file = f"{tenant.library_url}/file/{file.pk}/copy-to"
    assert _copy(api, tenant, stranger).status_code == 404
    assert api.post(to_file, _target(stranger), format="json").status_code == 404
    session = _session(tenant.owner)
    assert _copy(session, tenant, stranger).status_code == 202
    assert session.post(to_file, _target(stranger), format="json").status_code == 202


def test_target_must_be_one_that_the_caller_may_write_to(tenant: Tenant, stranger: Tenant) -> None:
    session = _session(tenant.owner)
    assert _copy(session, tenant, stranger).status_code == 404
    _join(stranger, tenant.owner, Role.VIEWER)
    assert _copy(session, tenant, stranger).status_code == 403
    with stranger.scope():
        assert KnowledgeBase.objects.count() == 1


def test_viewer_of_the_source_may_copy_it_to_where_they_may_write(
    tenant: Tenant, stranger: Tenant, make_member: Callable[..., tuple[User, CommittingClient]]
) -> None:
    viewer, client = make_member(Role.VIEWER)
    assert _copy(client, tenant, tenant).status_code == 403
    _join(stranger, viewer, Role.EDITOR)
    assert _copy(_session(viewer), tenant, stranger).status_code == 202


def test_personal_knowledge_base_is_no_target_for_others_and_stays_personal(
    tenant: Tenant,
    api: CommittingClient,
    personal: KnowledgeBase,
    ingest: Upload,
    make_member: Callable[..., tuple[User, CommittingClient]],
) -> None:
    file = ingest("a.txt", b"The heron stands on one leg.", "text/plain")
    _, editor = make_member(Role.EDITOR)
    refused = editor.post(
        f"{tenant.library_url}/file/{file.pk}/copy-to", {"targetKnowledgeBaseId": personal.pk}, format="json"
    )
    assert refused.status_code == 404
    body = {"targetOrganizationId": tenant.organization.pk}
    url = f"{tenant.url}/knowledgebases/{personal.pk}/copy-to"
    assert editor.post(url, body, format="json").status_code == 404
    assert api.post(url, body, format="json").json()["type"] == "PERSONAL"


def test_guest_copies_a_public_knowledge_base_home_by_key(
    api: CommittingClient,
    outsider: CommittingClient,
    tenant: Tenant,
    stranger: Tenant,
    ingest: Upload,
    run_workers: Run,
) -> None:
    ingest("a.txt", b"The heron stands on one leg.", "text/plain")
    assert _copy(outsider, tenant, stranger).status_code == 404
    _open_to_all(api, tenant)
    answer = _copy(outsider, tenant, stranger)
    assert answer.status_code == 202
    made = answer.json()
    assert (made["isPublic"], made["creatorUserId"]) == (False, stranger.owner.pk)
    run_workers()
    home = f"{stranger.url}/knowledgebases/{made['knowledgeBaseId']}"
    assert outsider.get(f"{home}/files").json()["items"][0]["status"] == "READY"
    assert api.get(home).status_code == 404
    # Where it was taken is for who took it, at the source too.
    assert outsider.get(f"{tenant.library_url}/copies").json()["totalRows"] == 1
    assert api.get(f"{tenant.library_url}/copies").json()["totalRows"] == 0
    assert _copy(outsider, tenant, tenant).status_code == 404


def test_key_bound_to_knowledge_bases_copies_between_these_only(tenant: Tenant, ingest: Upload) -> None:
    file = ingest("a.txt", b"The heron stands on one leg.", "text/plain")
    with tenant.scope():
        inside, outside = (
            create_knowledge_base(organization=tenant.organization, creator=tenant.owner, title=title)
            for title in ("Inside", "Outside")
        )
    _, secret = create_api_key(
        organization=tenant.organization,
        user=tenant.owner,
        name="bound",
        scopes=(Ability.FILES_READ, Ability.FILES_WRITE, Ability.KB_READ),
        knowledge_base_ids=[tenant.library.pk, inside.pk],
    )
    bound = client_with_key(secret)
    url = f"{tenant.library_url}/file/{file.pk}/copy-to"
    assert bound.post(url, {"targetKnowledgeBaseId": outside.pk}, format="json").status_code == 404
    assert bound.post(url, {"targetKnowledgeBaseId": inside.pk}, format="json").status_code == 202
    assert _copy(bound, tenant, tenant).status_code == 403


def test_same_idempotency_key_makes_one_copy(tenant: Tenant, stranger: Tenant, ingest: Upload) -> None:
    file = ingest("a.txt", b"The heron stands on one leg.", "text/plain")
    _join(stranger, tenant.owner, Role.EDITOR)
    session = _session(tenant.owner)
    first, second = (_copy(session, tenant, stranger, **{"Idempotency-Key": "k1"}) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["knowledgeBaseId"] == second.json()["knowledgeBaseId"]
    url = f"{tenant.library_url}/file/{file.pk}/copy-to"
    one, two = (
        session.post(url, _target(stranger), format="json", headers={"Idempotency-Key": "k2"})
        for _ in range(2)
    )
    assert one.json()["fileId"] == two.json()["fileId"]
    with system_scope("tests"):
        assert CopyJob.objects.count() == 2


def test_copy_is_called_off(api: CommittingClient, tenant: Tenant, ingest: Upload, run_workers: Run) -> None:
    file = ingest("a.txt", b"The heron stands on one leg.", "text/plain")
    with tenant.scope():
        other = create_knowledge_base(organization=tenant.organization, creator=tenant.owner, title="Other")
    made = api.post(
        f"{tenant.library_url}/file/{file.pk}/copy-to", {"targetKnowledgeBaseId": other.pk}, format="json"
    ).json()
    url = f"{tenant.library_url}/copies/{made['copy']['copyId']}"
    for _ in range(2):
        assert api.delete(url).json()["status"] == "CANCELLED"
    run_workers()
    assert api.get(url).json()["status"] == "CANCELLED"
    assert api.get(f"{tenant.url}/knowledgebases/{other.pk}/files").json()["totalRows"] == 0


def test_copy_that_is_over_stays_as_it_is(
    api: CommittingClient, tenant: Tenant, ingest: Upload, run_workers: Run
) -> None:
    ingest("a.txt", b"The heron stands on one leg.", "text/plain")
    made = _copy(api, tenant, tenant).json()
    run_workers()
    url = f"{tenant.library_url}/copies/{made['copy']['copyId']}"
    assert api.delete(url).json()["status"] == "SUCCEEDED"
    files = api.get(f"{tenant.url}/knowledgebases/{made['knowledgeBaseId']}/files").json()
    assert files["totalRows"] == 1


def test_copy_is_not_called_off_by_who_may_not_write_there(
    api: CommittingClient,
    tenant: Tenant,
    copy_job: CopyJob,
    make_member: Callable[..., tuple[User, CommittingClient]],
) -> None:
    _, viewer = make_member(Role.VIEWER)
    url = f"{tenant.url}/knowledgebases/{copy_job.target_knowledge_base_id}/copies/{copy_job.pk}"
    assert viewer.get(url).json()["status"] == "QUEUED"
    assert viewer.delete(url).status_code == 403


@pytest.mark.parametrize("body", [{}, {"targetOrganizationId": 7}, {"targetOrganizationId": ""}])
def test_body_is_checked(api: CommittingClient, tenant: Tenant, body: dict[str, object]) -> None:
    answer = api.post(f"{tenant.library_url}/copy-to", body, format="json")
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["targetOrganizationId"])


def _events(tenant: Tenant, *kinds: str) -> list[Event]:
    with tenant.scope():
        return list(Event.objects.filter(kind__in=kinds, is_audit=True))


def test_copy_to_another_organization_is_told_in_both(
    tenant: Tenant, stranger: Tenant, ingest: Upload, run_workers: Callable[[], int]
) -> None:
    file = ingest("a.txt", b"The heron stands on one leg.", "text/plain")
    _join(stranger, tenant.owner, Role.EDITOR)
    session = _session(tenant.owner)
    whole = _copy(session, tenant, stranger).json()
    one = session.post(
        f"{tenant.library_url}/file/{file.pk}/copy-to", _target(stranger), format="json"
    ).json()
    out = _events(tenant, "knowledge_base.copied_out", "file.copied_out", "copy.started")
    assert [(event.kind, event.subject_id) for event in out] == [
        ("knowledge_base.copied_out", tenant.library.pk),
        ("file.copied_out", file.pk),
    ]
    for event, made in zip(out, (whole, one), strict=True):
        assert (event.actor_id, event.address) == (tenant.owner.pk, "127.0.0.1")
        assert event.payload == {
            "targetOrganizationId": stranger.organization.pk,
            "targetKnowledgeBaseId": made["knowledgeBaseId"],
            "copyId": made["copy"]["copyId"],
        }
    started = _events(stranger, "copy.started")
    assert [event.subject_id for event in started] == [whole["copy"]["copyId"], one["copy"]["copyId"]]
    assert started[1].payload["copiedFrom"]["fileId"] == file.pk


def test_guest_who_copies_is_told_and_not_where_to(
    api: CommittingClient, outsider: CommittingClient, tenant: Tenant, stranger: Tenant, ingest: Upload
) -> None:
    ingest("a.txt", b"The heron stands on one leg.", "text/plain")
    body = {"title": "Open", "llmDescription": "For all.", "isPublic": True}
    assert api.put(tenant.library_url, body, format="json").status_code == 200
    assert _copy(outsider, tenant, stranger).status_code == 202
    (event,) = _events(tenant, "knowledge_base.copied_out")
    assert (event.actor_id, event.payload) == (stranger.owner.pk, {})


def test_files_that_a_worker_makes_carry_the_key_and_the_address_of_who_asked(
    api: CommittingClient, tenant: Tenant, ingest: Upload, run_workers: Callable[[], int]
) -> None:
    ingest("a.txt", b"The heron stands on one leg.", "text/plain")
    url, target = f"{tenant.library_url}/copy-to", {"targetOrganizationId": tenant.organization.pk}
    made = api.post(url, target, format="json", REMOTE_ADDR="203.0.113.7").json()
    run_workers()
    with tenant.scope():
        event = Event.objects.get(kind="file.created", knowledge_base_id=made["knowledgeBaseId"])
        assert event.key_id == ApiKey.objects.get().pk
    assert (event.actor_id, event.address) == (tenant.owner.pk, "203.0.113.7")


def test_copy_that_is_called_off_is_told(api: CommittingClient, tenant: Tenant, ingest: Upload) -> None:
    ingest("a.txt", b"The heron stands on one leg.", "text/plain")
    made = _copy(api, tenant, tenant).json()
    url = f"{tenant.url}/knowledgebases/{made['knowledgeBaseId']}/copies/{made['copy']['copyId']}"
    assert [api.delete(url).status_code for _ in range(2)] == [200, 200]
    (event,) = _events(tenant, "copy.cancelled")
    assert (event.subject_id, event.actor_id) == (made["copy"]["copyId"], tenant.owner.pk)
