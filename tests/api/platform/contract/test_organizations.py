"""Organizations: the caller's, their members, keys, usage and audit log."""

from collections.abc import Callable

from apps.accounts.models import User
from apps.orgs.roles import Role
from tests.api.platform.contract.conftest import Arrive, Door, bytes_at, path_of
from tests.conftest import CommittingClient, client_with_key

MakeMember = Callable[..., tuple[User, CommittingClient]]


def test_callers_organizations_are_listed_and_made(acme: Door, session: Door, elsewhere: Door) -> None:
    """`GET /orgs · POST /orgs`: the caller's organizations; creating one makes the caller its OWNER."""
    mine = acme.get("/orgs")
    assert [item["organizationId"] for item in mine["items"]] == [acme.url.removeprefix("/orgs/")]
    made = session.post("/orgs", {"name": "Second"}, status=201)
    assert set(made) == {"organizationId", "name", "plan", "createdAt", "updatedAt"}
    assert [item["name"] for item in session.items("/orgs")] == ["Acme", "Second"]
    assert [item["name"] for item in elsewhere.items("/orgs")] == ["Stranger"]
    [member] = session.items(f"/orgs/{made['organizationId']}/members")
    assert (member["email"], member["role"]) == ("acme@example.com", "OWNER")
    [library] = session.items(f"/orgs/{made['organizationId']}/knowledgebases")
    assert (library["title"], library["type"]) == ("Library", "ORGANIZATION")


def test_organization_is_read_changed_and_deleted_with_everything(
    acme: Door, session: Door, ingest: Arrive, run_workers: Callable[[], int]
) -> None:
    """`GET/PUT/DELETE /orgs/{organizationId}`: “DELETE takes everything with it: files, objects, vectors,
    conversations”."""
    assert acme.get("")["name"] == "Acme"
    assert acme.put("", {"name": "Acme Ltd"})["name"] == acme.get("")["name"] == "Acme Ltd"
    file = ingest()
    document = acme.post("/documents", {"title": "Kept", "content": "x"}, status=201)
    bytes_link = acme.post(f"{path_of(file)}/download-link")["downloadLink"]
    short_link = acme.post(f"{path_of(file)}/download-link", {"expiresInDays": 7})["downloadLink"]
    assert bytes_at(bytes_link) == bytes_at(short_link) is not None
    gone = session.delete(acme.url)
    assert gone == {"message": "Organization deleted", "organizationId": file["organizationId"]}
    run_workers()
    assert bytes_at(bytes_link) is None and bytes_at(short_link) is None
    for path in ("", "/knowledgebases", f"/documents/{document['documentId']}"):
        session.get(f"{acme.url}{path}", status=404)
    session.get(path_of(file), status=404)
    session.post(f"{acme.library}/search", {"query": "filter"}, status=404)
    acme.get("", status=401)  # its keys went too
    assert session.items("/orgs") == []


def test_members_have_roles_and_the_last_owner_stays(
    acme: Door, make_member: MakeMember, session: Door
) -> None:
    """`GET/POST /orgs/{id}/members, PUT/DELETE …/members/{userId}`: roles OWNER, ADMIN, EDITOR, VIEWER; “the last OWNER
    cannot leave”."""
    User.objects.create_user("grace@example.com", "correct horse battery")
    added = acme.post("/members", {"email": "grace@example.com", "role": "VIEWER"}, status=201)
    assert (added["role"], added["userId"][:5]) == ("VIEWER", "user-")
    for role in ("EDITOR", "ADMIN", "OWNER", "VIEWER"):
        assert acme.put(f"/members/{added['userId']}", {"role": role})["role"] == role
    acme.put(f"/members/{added['userId']}", {"role": "KING"}, status=400)
    roles = {member["email"]: member["role"] for member in acme.items("/members")}
    assert roles == {"acme@example.com": "OWNER", "grace@example.com": "VIEWER"}
    owner = next(it["userId"] for it in acme.items("/members") if it["role"] == "OWNER")
    for refused in (
        session.delete(f"/members/{owner}", status=409),
        session.put(f"/members/{owner}", {"role": "ADMIN"}, status=409),
    ):
        assert "OWNER" in refused["error"]["message"]
    acme.delete(f"/members/{added['userId']}")
    assert [member["userId"] for member in acme.items("/members")] == [owner]


def test_key_is_shown_once_and_opens_until_it_is_revoked(acme: Door) -> None:
    """`GET/POST /orgs/{id}/api-keys, DELETE …/api-keys/{keyId}`: name, scopes, expiresAt; “the secret is in the POST
    answer only”."""
    said = {"name": "reporting", "scopes": ["org.read"], "expiresAt": "2126-01-01T00:00:00Z"}
    made = acme.post("/api-keys", said, status=201)
    assert {name: made[name] for name in said} == said
    secret = made.pop("secret")
    listed = next(item for item in acme.items("/api-keys") if item["keyId"] == made["keyId"])
    assert "secret" not in listed and secret not in str(acme.get("/api-keys"))
    theirs = Door(client_with_key(secret), acme.url, acme.library)
    assert theirs.get("")["name"] == "Acme"
    theirs.get("/knowledgebases", status=403)  # not in its scopes
    acme.delete(f"/api-keys/{made['keyId']}")
    theirs.get("", status=401)


def test_scopes_are_a_list_of_known_ones(acme: Door) -> None:
    """“Unknown request fields are ignored; wrong types are a 400 that names the field”."""
    for scopes in ({"kb.read": 1}, "kb.read", ["kb.rule"], [["kb.read"]], [1], [None], 7, []):
        error = acme.post("/api-keys", {"name": "x", "scopes": scopes}, status=400)["error"]
        assert list(error["fields"]) == ["scopes"], scopes
    acme.post("/api-keys", {"name": "x", "scopes": ["kb.read"], "unknown": {}}, status=201)


def test_usage_is_told_by_day_against_the_plan(acme: Door, ingest: Arrive) -> None:
    """`GET /orgs/{id}/usage`: files, bytes, chunks, requests, tokens per day against the plan."""
    file = ingest()
    usage = acme.get("/usage")
    assert (usage["files"], usage["bytes"], usage["chunks"]) == (1, file["sizeBytes"], file["chunkCount"])
    today = usage["days"][-1]
    assert {"day", "files", "bytes", "chunks", "requests", "tokens"} <= set(today)
    assert (today["files"], today["bytes"], today["chunks"], today["tokens"]) == (
        1,
        file["sizeBytes"],
        file["chunkCount"],
        0,
    )
    assert today["requests"] == usage["requests"] >= 3
    assert acme.get("/usage")["requests"] == usage["requests"] + 1
    assert usage["plan"]["name"] == acme.get("")["plan"]


def test_audit_log_tells_who_did_what_when_and_with_which_key(acme: Door, session: Door) -> None:
    """`GET /orgs/{id}/audit-log`: who did what to which object, when, from which key."""
    knowledge_base = acme.new_knowledge_base().rpartition("/")[2]
    session.delete(f"/knowledgebases/{knowledge_base}")
    deleted, created = acme.items(f"/audit-log?subjectId={knowledge_base}")
    assert (created["kind"], deleted["kind"]) == ("knowledge_base.created", "knowledge_base.deleted")
    me = next(member["userId"] for member in acme.items("/members"))
    [key] = acme.items("/api-keys")
    assert (created["actorUserId"], created["apiKeyId"]) == (me, key["keyId"])
    assert (deleted["actorUserId"], deleted["apiKeyId"], deleted["actorEmail"]) == (
        me,
        None,
        "acme@example.com",
    )
    assert created["createdAt"] <= deleted["createdAt"]


def test_viewer_may_not_read_what_is_for_admins(acme: Door, make_member: MakeMember) -> None:
    """`GET /orgs/{id}/audit-log`: who did what is not for everybody."""
    _, client = make_member(Role.VIEWER)
    viewer = Door(client, acme.url, acme.library)
    assert viewer.get("/audit-log", status=403)["error"]["code"] == "permission_denied"
    assert viewer.get("/usage")["files"] == 0
