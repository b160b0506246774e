from collections.abc import Callable

from apps.accounts.models import User
from apps.knowledge.models import File, KnowledgeBase, Tombstone
from apps.orgs.roles import Ability, Role
from apps.orgs.scope import system_scope
from tests.conftest import CommittingClient, Tenant

BODY = {"title": "Manuals", "llmDescription": "How to operate things.", "type": "ORGANIZATION"}
FIELDS = {
    "knowledgeBaseId",
    "organizationId",
    "type",
    "title",
    "llmDescription",
    "creatorUserId",
    "isPublic",
    "ocrLanguages",
    "embeddingModel",
    "createdAt",
    "updatedAt",
}


def test_knowledge_base_is_created_and_read(api: CommittingClient, tenant: Tenant) -> None:
    answer = api.post(f"{tenant.url}/knowledgebases", BODY, format="json")
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == FIELDS
    assert made["creatorUserId"] == tenant.owner.pk
    assert made["organizationId"] == tenant.organization.pk
    assert made["isPublic"] is False
    assert api.get(f"{tenant.url}/knowledgebases/{made['knowledgeBaseId']}").json() == made


def test_put_needs_title_and_description_and_may_publish(api: CommittingClient, tenant: Tenant) -> None:
    missing = api.put(tenant.library_url, {"title": "Renamed"}, format="json")
    assert missing.status_code == 400
    assert list(missing.json()["error"]["fields"]) == ["llmDescription"]
    body = {"title": "Renamed", "llmDescription": "New.", "isPublic": True}
    changed = api.put(tenant.library_url, body, format="json")
    assert changed.status_code == 200
    assert {name: changed.json()[name] for name in body} == body


def test_put_leaves_alone_what_it_does_not_name(api: CommittingClient, tenant: Tenant) -> None:
    api.put(tenant.library_url, {"title": "A", "llmDescription": "B", "isPublic": True}, format="json")
    kept = api.put(tenant.library_url, {"title": "C", "llmDescription": "D"}, format="json")
    assert kept.json()["isPublic"] is True


def test_ocr_languages_are_kept_and_taken_away(api: CommittingClient, tenant: Tenant) -> None:
    made = api.post(
        f"{tenant.url}/knowledgebases", BODY | {"ocrLanguages": ["deu", "eng"]}, format="json"
    ).json()
    url = f"{tenant.url}/knowledgebases/{made['knowledgeBaseId']}"
    assert made["ocrLanguages"] == ["deu", "eng"]
    described = {"title": "A", "llmDescription": "B"}
    assert api.put(url, described, format="json").json()["ocrLanguages"] == ["deu", "eng"]
    assert api.put(url, described | {"ocrLanguages": []}, format="json").json()["ocrLanguages"] == []
    assert api.get(tenant.library_url).json()["ocrLanguages"] == []


def test_delete_answers_in_the_apis_own_words(
    api: CommittingClient, tenant: Tenant, waiting_file: File
) -> None:
    made = api.post(f"{tenant.url}/knowledgebases", BODY, format="json").json()["knowledgeBaseId"]
    url = f"{tenant.url}/knowledgebases/{made}"
    upload = {"fileName": "a.txt", "contentType": "text/plain"}
    file_id = api.post(f"{url}/files/upload-url", upload, format="json").json()["fileId"]
    answer = api.delete(url)
    assert (answer.status_code, answer.json()) == (200, {"message": "File deleted", "knowledgeBaseId": made})
    assert api.get(url).status_code == 404
    with system_scope("test"):
        assert not File.objects.filter(pk=file_id).exists()
        assert Tombstone.objects.filter(file_id=file_id, revision=None).exists()


def test_default_library_can_not_be_deleted(api: CommittingClient, tenant: Tenant) -> None:
    answer = api.delete(tenant.library_url)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


def test_personal_knowledge_base_is_its_creators_alone(
    api: CommittingClient,
    tenant: Tenant,
    personal: KnowledgeBase,
    make_member: Callable[..., tuple[User, CommittingClient]],
) -> None:
    url, mine = f"{tenant.url}/knowledgebases", f"{tenant.url}/knowledgebases/{personal.pk}"
    assert [item["title"] for item in api.get(url).json()["items"]] == ["Library"]
    assert api.get(f"{url}?includePersonalKBs=true").json()["totalRows"] == 2
    assert api.get(mine).json()["type"] == "PERSONAL"
    _, admin = make_member(Role.ADMIN)
    assert admin.get(f"{url}?includePersonalKBs=true").json()["totalRows"] == 1
    assert admin.get(mine).status_code == 404
    assert admin.get(f"{mine}/files").status_code == 404
    assert admin.post(f"{mine}/search", {"query": "x"}, format="json").status_code == 404
    assert admin.delete(mine).status_code == 404


def test_opening_a_knowledge_base_takes_an_admin_and_a_key_that_says_so(
    tenant: Tenant,
    make_member: Callable[..., tuple[User, CommittingClient]],
    make_key: Callable[..., CommittingClient],
) -> None:
    body = {"title": "Shared", "llmDescription": "For all."}

    def put(client: CommittingClient, **said: bool) -> int:
        status: int = client.put(tenant.library_url, body | said, format="json").status_code
        return status

    _, editor = make_member(Role.EDITOR)
    _, admin = make_member(Role.ADMIN)
    assert [put(editor), put(editor, isPublic=False), put(editor, isPublic=True)] == [200, 200, 403]
    assert put(make_key(Ability.KB_MANAGE), isPublic=True) == 403
    assert put(make_key(Ability.KB_MANAGE, Ability.KB_PUBLISH), isPublic=True) == 200
    # Whoever sends back what they read changes nothing of it; closing takes the same as opening.
    assert [put(editor, isPublic=True), put(editor, isPublic=False), put(admin, isPublic=False)] == [
        200,
        403,
        200,
    ]


def test_personal_knowledge_base_can_not_be_public(
    api: CommittingClient, tenant: Tenant, personal: KnowledgeBase
) -> None:
    body = {"title": "Diary", "llmDescription": "Mine.", "isPublic": True}
    answer = api.put(f"{tenant.url}/knowledgebases/{personal.pk}", body, format="json")
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == ["isPublic"]


def test_public_knowledge_base_can_be_read_by_strangers_and_not_changed(
    api: CommittingClient, outsider: CommittingClient, tenant: Tenant, waiting_file: File
) -> None:
    url = tenant.library_url
    assert outsider.get(url).status_code == 404
    api.put(url, {"title": "Open", "llmDescription": "For all.", "isPublic": True}, format="json")
    assert outsider.get(url).json()["title"] == "Open"
    assert outsider.get(f"{url}/files").json()["totalRows"] == 1
    assert outsider.get(f"{url}/files/{waiting_file.pk}").status_code == 200
    assert outsider.post(f"{url}/search", {"query": "anything"}, format="json").json() == {"results": []}
    upload = {"fileName": "a.txt", "contentType": "text/plain"}
    for refused in (
        outsider.put(url, {"title": "Mine", "llmDescription": "Now."}, format="json"),
        outsider.delete(url),
        outsider.post(f"{url}/files/upload-url", upload, format="json"),
        outsider.delete(f"{url}/files/{waiting_file.pk}"),
        outsider.post(f"{url}/files/{waiting_file.pk}/reindex"),
    ):
        assert refused.status_code == 403
    assert outsider.get(tenant.url).status_code == 404  # the organization stays closed
    assert outsider.get(f"{tenant.url}/knowledgebases").status_code == 404


def test_somebody_without_any_organization_is_no_guest(
    api: CommittingClient, tenant: Tenant, anonymous: CommittingClient
) -> None:
    api.put(tenant.library_url, {"title": "A", "llmDescription": "B", "isPublic": True}, format="json")
    assert anonymous.get(tenant.library_url).status_code == 401
    anonymous.force_login(User.objects.create_user("alone@example.com", "correct horse battery"))
    assert anonymous.get(tenant.library_url).status_code == 404


def test_viewer_can_read_and_not_write(
    make_member: Callable[..., tuple[User, CommittingClient]], tenant: Tenant, waiting_file: File
) -> None:
    _, viewer = make_member(Role.VIEWER)
    url = tenant.library_url
    assert viewer.get(url).status_code == 200
    assert viewer.post(f"{url}/search", {"query": "x"}, format="json").status_code == 200
    for refused in (
        viewer.post(f"{tenant.url}/knowledgebases", BODY, format="json"),
        viewer.put(url, BODY, format="json"),
        viewer.delete(url),
        viewer.post(f"{url}/files/upload-url", {}, format="json"),
        viewer.delete(f"{url}/files/{waiting_file.pk}"),
        viewer.post(f"{url}/files/{waiting_file.pk}/s3-ingest"),
        viewer.post(f"{url}/files/{waiting_file.pk}/reindex"),
    ):
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "permission_denied")


def test_scopes_of_a_key_bound_its_owners_role(
    make_key: Callable[..., CommittingClient], tenant: Tenant
) -> None:
    reader = make_key(Ability.KB_READ)
    assert reader.get(tenant.library_url).status_code == 200
    assert reader.post(f"{tenant.url}/knowledgebases", BODY, format="json").status_code == 403
    writer = make_key(Ability.KB_MANAGE)
    assert writer.get(tenant.library_url).status_code == 403
