from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.events.models import Event
from apps.knowledge.knowledge_bases import create_knowledge_base, update_knowledge_base
from apps.knowledge.models import File, KnowledgeBase
from apps.orgs.models import ApiKey
from apps.orgs.roles import ABILITIES, KNOWLEDGE_BASE_ABILITIES, Ability, Role
from tests.api.html_forms import page, put_form
from tests.conftest import CommittingClient, Tenant, client_with_key

MakeMember = Callable[..., tuple[User, CommittingClient]]
MakeKey = Callable[..., CommittingClient]


def make(client: CommittingClient, tenant: Tenant, status: int = 201, **body: Any) -> dict[str, Any]:
    answer = client.post(f"{tenant.url}/api-keys", {"name": "k"} | body, format="json")
    assert answer.status_code == status, answer.content
    made: dict[str, Any] = answer.json()
    return made


@pytest.fixture
def shelf(tenant: Tenant) -> KnowledgeBase:
    with tenant.scope():
        return create_knowledge_base(
            organization=tenant.organization, creator=tenant.owner, title="Shelf", llm_description="Books."
        )


def test_secret_is_told_once_and_opens_what_the_scopes_say(api: CommittingClient, tenant: Tenant) -> None:
    made = make(api, tenant, name="reporting", scopes=["kb.read"], expiresAt="2126-01-01T00:00:00Z")
    assert made["secret"].startswith(made["hint"])
    assert (made["scopes"], made["knowledgeBaseIds"]) == (["kb.read"], None)
    assert made["expiresAt"] == "2126-01-01T00:00:00Z" and made["lastUsedAt"] is None
    listed = api.get(f"{tenant.url}/api-keys?orderBy=-createdAt")
    assert made["secret"] not in listed.content.decode()
    assert listed.json()["items"][0] == {name: made[name] for name in made if name != "secret"}
    assert listed.json()["items"][0] == api.get(f"{tenant.url}/api-keys/{made['keyId']}").json()
    with tenant.scope():
        assert made["secret"] not in str(list(ApiKey.objects.values()))
    reader = client_with_key(made["secret"])
    assert reader.get(f"{tenant.url}/knowledgebases").status_code == 200
    assert reader.get(f"{tenant.library_url}/files").status_code == 403
    assert api.get(f"{tenant.url}/api-keys/{made['keyId']}").json()["lastUsedAt"] is not None


@pytest.mark.parametrize(
    "body",
    [
        {"scopes": []},
        {"scopes": ["everything"]},
        {"scopes": "kb.read"},
        {"name": ""},
        {"expiresAt": "2020-01-01T00:00:00Z"},
        {"expiresAt": "soon"},
        {"knowledgeBaseIds": []},
        {"knowledgeBaseIds": ["kb-unknown"]},
        {"knowledgeBaseIds": "kb"},
    ],
    ids=str,
)
def test_what_is_no_key_is_refused(api: CommittingClient, tenant: Tenant, body: dict[str, Any]) -> None:
    error = make(api, tenant, 400, **body)["error"]
    assert set(error["fields"]) == set(body)


def test_key_is_never_given_more_than_its_maker_has(
    tenant: Tenant, make_member: MakeMember, make_key: MakeKey
) -> None:
    _, editor = make_member(Role.EDITOR)
    made = make(editor, tenant)
    assert (set(made["scopes"]), made["missingScopes"]) == (set(ABILITIES[Role.EDITOR]), [])
    make(editor, tenant, 403, scopes=["kb.read", "members.manage"])
    narrow = make_key(Ability.KEYS_OWN, Ability.KB_READ)
    assert make(narrow, tenant)["scopes"] == ["kb.read", "keys.own"]
    make(narrow, tenant, 403, scopes=["org.delete"])
    make(make_key(Ability.KB_READ), tenant, 403, scopes=["kb.read"])


def test_key_made_by_a_key_ends_with_it(tenant: Tenant, make_key: MakeKey) -> None:
    hour = make_key(Ability.KEYS_OWN, lifetime=timedelta(hours=1))
    ends = (timezone.now() + timedelta(hours=1)).isoformat()[:13]
    assert make(hour, tenant)["expiresAt"][:13] == ends
    make(hour, tenant, 403, expiresAt=(timezone.now() + timedelta(hours=2)).isoformat())


def test_key_that_is_revoked_takes_along_those_that_it_made(api: CommittingClient, tenant: Tenant) -> None:
    leaked = make(api, tenant)
    child = make(client_with_key(leaked["secret"]), tenant)
    grandchild = make(client_with_key(child["secret"]), tenant)
    assert api.delete(f"{tenant.url}/api-keys/{leaked['keyId']}").status_code == 200
    statuses = [
        client_with_key(one["secret"]).get("/orgs").status_code for one in (leaked, child, grandchild)
    ]
    assert statuses == [401, 401, 401]
    assert api.get("/orgs").status_code == 200  # which made the first


def test_everybody_sees_their_own_keys_and_an_admin_all(
    api: CommittingClient, tenant: Tenant, make_member: MakeMember
) -> None:
    viewer, as_viewer = make_member(Role.VIEWER)
    _, as_admin = make_member(Role.ADMIN)
    (own,) = as_viewer.get(f"{tenant.url}/api-keys").json()["items"]
    assert own["userId"] == viewer.pk
    all_of_them = as_admin.get(f"{tenant.url}/api-keys").json()["items"]
    assert len(all_of_them) == 3
    for key in all_of_them:
        expected = 200 if key == own else 404
        assert as_viewer.get(f"{tenant.url}/api-keys/{key['keyId']}").status_code == expected
    others = next(key for key in all_of_them if key["userId"] == tenant.owner.pk)
    assert as_viewer.delete(f"{tenant.url}/api-keys/{others['keyId']}").status_code == 404
    # To revoke somebody's key is an ADMIN's; a new secret of it would be a way to act as them.
    rotated = as_admin.post(f"{tenant.url}/api-keys/{own['keyId']}/rotate", {}, format="json")
    assert rotated.status_code == 403
    revoked = as_admin.delete(f"{tenant.url}/api-keys/{own['keyId']}")
    assert revoked.json() == {"message": "API key revoked", "keyId": own["keyId"]}
    assert as_viewer.get("/orgs").status_code == 401
    assert as_admin.get(f"{tenant.url}/api-keys/{own['keyId']}").status_code == 404


def test_rotation_overlaps_and_then_ends_the_old_secret(api: CommittingClient, tenant: Tenant) -> None:
    made = make(api, tenant)
    url = f"{tenant.url}/api-keys/{made['keyId']}/rotate"
    rotated = api.post(url, {"overlapSeconds": 3600}, format="json")
    assert (rotated.status_code, rotated["Cache-Control"]) == (200, "no-store")
    assert rotated.json()["keyId"] == made["keyId"] and rotated.json()["secret"] != made["secret"]
    old, new = client_with_key(made["secret"]), client_with_key(rotated.json()["secret"])
    assert (old.get("/orgs").status_code, new.get("/orgs").status_code) == (200, 200)
    with tenant.scope():
        ApiKey.objects.filter(pk=made["keyId"]).update(previous_secret_expires_at=timezone.now())
    assert (old.get("/orgs").status_code, new.get("/orgs").status_code) == (401, 200)


def test_rotation_without_overlap_ends_a_leaked_secret_at_once(api: CommittingClient, tenant: Tenant) -> None:
    made = make(api, tenant)
    url = f"{tenant.url}/api-keys/{made['keyId']}/rotate"
    first = api.post(url, {}, format="json").json()["secret"]  # a day's overlap
    second = client_with_key(first).post(url, {"overlapSeconds": 0}, format="json").json()["secret"]
    statuses = [
        client_with_key(secret).get("/orgs").status_code for secret in (made["secret"], first, second)
    ]
    assert statuses == [401, 401, 200]
    for bad in (-1, "x", 10**9):
        assert api.post(url, {"overlapSeconds": bad}, format="json").status_code == 400


def test_secret_from_before_a_rotation_does_not_outlast_its_time(
    api: CommittingClient, tenant: Tenant
) -> None:
    made = make(api, tenant)
    url = f"{tenant.url}/api-keys/{made['keyId']}/rotate"
    api.post(url, {"overlapSeconds": 3600}, format="json")
    old = client_with_key(made["secret"])
    assert old.get("/orgs").status_code == 200
    assert old.post(url, {"overlapSeconds": 0}, format="json").status_code == 403
    make(old, tenant, 403)


def test_key_rotates_itself_and_those_that_it_made_alone(
    api: CommittingClient, tenant: Tenant, make_key: MakeKey
) -> None:
    """Even where the other can do no more: its new secret would outlive a leaked one that is revoked."""
    mine, other = make(api, tenant), make_key()
    url = f"{tenant.url}/api-keys/{mine['keyId']}/rotate"
    refused = other.post(url, {}, format="json")
    assert refused.status_code == 403
    assert refused.json()["error"]["message"] == "Sign in to rotate your other keys."
    assert api.post(url, {}, format="json").status_code == 200  # which made it
    assert session(tenant).post(url, {"overlapSeconds": 0}, format="json").status_code == 200


def test_key_rotates_no_key_that_was_given_more_than_it_has(tenant: Tenant, make_key: MakeKey) -> None:
    maker = make_key(Ability.KEYS_OWN, Ability.KB_READ)
    made = make(maker, tenant)
    url = f"{tenant.url}/api-keys/{made['keyId']}"
    assert maker.post(f"{url}/rotate", {}, format="json").status_code == 200
    assert session(tenant).put(url, {"scopes": ["kb.read", "kb.manage"]}, format="json").status_code == 200
    assert maker.post(f"{url}/rotate", {}, format="json").status_code == 403


def test_key_is_changed_in_a_session_and_tells_what_it_lacks(api: CommittingClient, tenant: Tenant) -> None:
    made = make(api, tenant, scopes=["kb.read"])
    assert set(made["missingScopes"]) == set(Ability) - {"kb.read"}
    url = f"{tenant.url}/api-keys/{made['keyId']}"
    said = {"name": "wider", "scopes": ["kb.read", "files.read"], "expiresAt": "2126-01-01T00:00:00Z"}
    assert client_with_key(made["secret"]).get(f"{tenant.library_url}/files").status_code == 403
    answer = session(tenant).put(url, said, format="json")
    assert answer.status_code == 200, answer.content
    assert {name: answer.json()[name] for name in said} == said | {"scopes": ["files.read", "kb.read"]}
    assert answer.json() == api.get(url).json() | {"lastUsedAt": answer.json()["lastUsedAt"]}
    assert client_with_key(made["secret"]).get(f"{tenant.library_url}/files").status_code == 200
    with tenant.scope():
        event = Event.objects.get(kind="api_key.updated")
    assert event.payload["changed"] == ["expires_at", "name", "scopes"]
    assert event.payload["before"] == {"scopes": ["kb.read"], "expiresAt": None}
    assert event.payload["scopes"] == ["files.read", "kb.read"]
    kept = session(tenant).put(url, {"expiresAt": None}, format="json").json()
    assert (kept["name"], kept["expiresAt"]) == ("wider", None)


def test_no_key_changes_a_key(api: CommittingClient, tenant: Tenant) -> None:
    made = make(api, tenant, scopes=["keys.own"])
    url = f"{tenant.url}/api-keys/{made['keyId']}"
    for client in (api, client_with_key(made["secret"])):
        assert client.put(url, {"scopes": ["keys.own", "org.delete"]}, format="json").status_code == 403
    assert api.get(url).json()["scopes"] == ["keys.own"]


def test_key_is_given_nothing_beyond_its_users_role_and_by_nobody_else(
    api: CommittingClient, tenant: Tenant, make_member: MakeMember
) -> None:
    editor, client = make_member(Role.EDITOR, scopes=(Ability.KB_READ, Ability.KEYS_OWN))
    made = make(client, tenant, scopes=["kb.read"])
    url = f"{tenant.url}/api-keys/{made['keyId']}"
    theirs = CommittingClient()
    theirs.force_login(editor)
    for scopes, status in ((["members.manage"], 403), ([], 400), (["everything"], 400), (["kb.manage"], 200)):
        assert theirs.put(url, {"scopes": scopes}, format="json").status_code == status, scopes
    assert theirs.put(url, {"expiresAt": "2020-01-01T00:00:00Z"}, format="json").status_code == 400
    assert session(tenant).put(url, {"name": "mine"}, format="json").status_code == 403
    assert api.delete(url).status_code == 200
    assert theirs.put(url, {"name": "back"}, format="json").status_code == 404


def test_bound_key_stays_within_what_bound_keys_can_have(
    api: CommittingClient, tenant: Tenant, shelf: KnowledgeBase
) -> None:
    made = make(api, tenant, scopes=["kb.read"], knowledgeBaseIds=[shelf.pk])
    assert set(made["missingScopes"]) == KNOWLEDGE_BASE_ABILITIES - {"kb.read"}
    url = f"{tenant.url}/api-keys/{made['keyId']}"
    assert session(tenant).put(url, {"scopes": ["members.read"]}, format="json").status_code == 400


def test_key_without_scopes_can_not_end_the_organization_and_one_that_names_it_can(
    api: CommittingClient, tenant: Tenant
) -> None:
    made = make(api, tenant)
    assert made["missingScopes"] == ["members.manage", "org.delete", "owners.manage"]
    assert client_with_key(made["secret"]).delete(tenant.url).status_code == 403
    named = make(api, tenant, scopes=["org.delete"])
    assert client_with_key(named["secret"]).delete(tenant.url).status_code == 200


def session(tenant: Tenant) -> CommittingClient:
    client = CommittingClient()
    client.force_login(tenant.owner)
    return client


def test_bound_key_sees_its_own_knowledge_bases_only(
    api: CommittingClient, tenant: Tenant, shelf: KnowledgeBase, ingest: Callable[..., File]
) -> None:
    hidden = ingest("lamp.txt", b"The lens is cleaned with vinegar and a linen cloth.", "text/plain")
    shown = ingest("book.txt", b"Books are dusted with a soft brush.", "text/plain", into=shelf)
    made = make(api, tenant, knowledgeBaseIds=[shelf.pk])
    assert set(made["scopes"]) == set(KNOWLEDGE_BASE_ABILITIES)
    bound, shelf_url = client_with_key(made["secret"]), f"{tenant.url}/knowledgebases/{shelf.pk}"
    (item,) = bound.get(f"{tenant.url}/knowledgebases").json()["items"]
    assert item["knowledgeBaseId"] == shelf.pk
    question = {"query": "how is the lens cleaned"}
    found = bound.post(f"{shelf_url}/search", question, format="json").json()["results"]
    assert {result["fileId"] for result in found} == {shown.pk}
    assert bound.get(f"{shelf_url}/files/{shown.pk}").status_code == 200
    for elsewhere in (
        bound.get(tenant.library_url),
        bound.get(f"{tenant.library_url}/files"),
        bound.get(f"{tenant.library_url}/files/{hidden.pk}"),
        bound.get(f"{shelf_url}/files/{hidden.pk}"),
        bound.post(f"{tenant.library_url}/search", question, format="json"),
        bound.post(f"{tenant.library_url}/files/upload-url", {}, format="json"),
        bound.put(tenant.library_url, {"title": "T", "llmDescription": "D"}, format="json"),
        bound.delete(tenant.library_url),
    ):
        assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (404, "not_found")


def test_bound_key_reaches_nothing_beyond_knowledge_bases(
    api: CommittingClient, tenant: Tenant, shelf: KnowledgeBase
) -> None:
    make(api, tenant, 400, knowledgeBaseIds=[shelf.pk], scopes=["kb.read", "members.read"])
    bound = client_with_key(make(api, tenant, knowledgeBaseIds=[shelf.pk])["secret"])
    kb = {"title": "T", "llmDescription": "D", "type": "ORGANIZATION"}
    assert bound.post(f"{tenant.url}/knowledgebases", kb, format="json").status_code == 403
    for path in ("", "/members", "/invitations", "/api-keys", "/audit-log"):
        assert bound.get(tenant.url + path).status_code == 403, path
    assert bound.post("/orgs", {"name": "Another"}, format="json").status_code == 403
    with tenant.scope():  # not even if its row were changed by hand
        ApiKey.objects.filter(knowledge_base_ids__isnull=False).update(scopes=list(Ability))
    assert bound.get(f"{tenant.url}/members").status_code == 403


def test_bound_key_is_no_guest_elsewhere(
    api: CommittingClient, tenant: Tenant, stranger: Tenant, shelf: KnowledgeBase
) -> None:
    with stranger.scope():
        update_knowledge_base(stranger.library, actor_id=stranger.owner.pk, is_public=True)
    assert api.get(stranger.library_url).status_code == 200
    bound = client_with_key(make(api, tenant, knowledgeBaseIds=[shelf.pk])["secret"])
    assert bound.get(stranger.library_url).status_code == 404
    searcher = client_with_key(make(api, tenant, scopes=["kb.search"])["secret"])
    assert searcher.get(stranger.library_url).status_code == 403


def test_key_is_bound_to_what_its_maker_can_see_only(
    tenant: Tenant, stranger: Tenant, personal: KnowledgeBase, make_member: MakeMember, api: CommittingClient
) -> None:
    _, editor = make_member(Role.EDITOR)
    for hidden in (personal.pk, stranger.library.pk):
        make(editor, tenant, 400, knowledgeBaseIds=[hidden])
    make(api, tenant, knowledgeBaseIds=[personal.pk])


def test_key_is_changed_by_clicking(tenant: Tenant, api: CommittingClient, browser: Client) -> None:
    made = make(api, tenant, name="narrow", scopes=["kb.read"])
    url = f"{tenant.url}/api-keys/{made['keyId']}"
    assert put_form(browser, url, page(browser, url)).status_code == 200  # nothing was touched
    assert api.get(url).json()["scopes"] == ["kb.read"]
    changed = put_form(browser, url, page(browser, url), name="wide", scopes=["kb.read", "kb.search"])
    assert changed.status_code == 200, changed.content
    told = api.get(url).json()
    assert (told["name"], told["scopes"], told["expiresAt"]) == ("wide", ["kb.read", "kb.search"], None)
