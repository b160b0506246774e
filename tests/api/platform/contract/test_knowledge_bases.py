"""Knowledge bases: made, shared, copied, deleted."""

from collections.abc import Callable

from django.conf import settings

from apps.accounts.models import User
from apps.orgs.roles import Role
from apps.retrieval import runtime
from apps.retrieval import services as retrieval
from tests.api.platform.contract.conftest import TEXT, Arrive, Door, bytes_at, path_of
from tests.conftest import CommittingClient
from tests.workers.reuse.conftest import CountingEmbedder

FIELDS = {
    "knowledgeBaseId",
    "organizationId",
    "type",
    "title",
    "llmDescription",
    "creatorUserId",
    "isPublic",
    "createdAt",
    "updatedAt",
}
MakeMember = Callable[..., tuple[User, CommittingClient]]


def test_knowledge_base_needs_title_description_and_type(acme: Door) -> None:
    """`POST /orgs/{o}/knowledgebases`: required `title`, `llmDescription`, `type`.

    `GET /orgs/{o}/knowledgebases/{kb}`
    """
    body = {"title": "Manuals", "llmDescription": "How to repair.", "type": "ORGANIZATION"}
    made = acme.post("/knowledgebases", body, status=201)
    assert set(made) >= FIELDS
    assert {name: made[name] for name in body} == body
    assert (made["isPublic"], made["organizationId"]) == (False, acme.url.removeprefix("/orgs/"))
    assert acme.get(f"/knowledgebases/{made['knowledgeBaseId']}") == made
    for name in body:
        error = acme.post("/knowledgebases", body | {name: None}, status=400)["error"]
        assert list(error["fields"]) == [name]
        left_out = {key: value for key, value in body.items() if key != name}
        assert list(acme.post("/knowledgebases", left_out, status=400)["error"]["fields"]) == [name]
    acme.post("/knowledgebases", body | {"type": "SECRET"}, status=400)


def test_put_needs_title_and_description(acme: Door) -> None:
    """`PUT …/{kb}`: required `title`, `llmDescription`; may set `isPublic`."""
    knowledge_base = acme.new_knowledge_base()
    body = {"title": "Other", "llmDescription": "Other."}
    changed = acme.put(knowledge_base, body)
    assert {name: changed[name] for name in body} == body and changed["isPublic"] is False
    assert acme.put(knowledge_base, body | {"isPublic": True})["isPublic"] is True
    assert acme.get(knowledge_base)["isPublic"] is True
    for name in body:
        left_out = {key: value for key, value in body.items() if key != name}
        assert list(acme.put(knowledge_base, left_out, status=400)["error"]["fields"]) == [name]


def test_list_leaves_out_personal_ones_unless_asked_for(acme: Door, make_member: MakeMember) -> None:
    """`GET /orgs/{o}/knowledgebases`: `includePersonalKBs=true`. “A PERSONAL KB is seen by its creator (and its agent)
    only, and is left out of lists unless asked for”."""
    diary = acme.new_knowledge_base("Diary", type="PERSONAL")
    _, admin = make_member(Role.ADMIN)
    theirs = Door(admin, acme.url, acme.library)

    def titles(door: Door, query: str) -> list[str]:
        return [item["title"] for item in door.items(f"/knowledgebases?{query}")]

    assert titles(acme, "orderBy=title") == ["Library"]
    assert titles(acme, "includePersonalKBs=true&orderBy=title") == ["Diary", "Library"]
    assert titles(theirs, "includePersonalKBs=true") == ["Library"]
    for method, path in (("GET", ""), ("GET", "/files"), ("DELETE", ""), ("GET", "/etls")):
        theirs.call(method, f"{diary}{path}", status=404)
    theirs.post(f"{diary}/search", {"query": "x"}, status=404)
    assert acme.get(diary)["type"] == "PERSONAL"


def test_agent_has_its_own_knowledge_base_and_finds_what_is_in_it(
    acme: Door, ingest: Arrive, run_workers: Callable[[], int], make_member: MakeMember
) -> None:
    """`GET /orgs/{o}/knowledgebases`: “forAgentId (get, or create on first use, the personal KB of that agent)”."""
    agent = acme.post("/agents", {"name": "Librarian"}, status=201)["agentId"]
    [own] = acme.items(f"/knowledgebases?forAgentId={agent}")
    assert own["type"] == "PERSONAL"
    assert acme.items(f"/knowledgebases?forAgentId={agent}") == [own]
    assert acme.items(f"/knowledgebases?forAgentId={agent}&cursor=1") == []
    acme.get("/knowledgebases?forAgentId=agent-unknown", status=404)
    path = f"{acme.url}/knowledgebases/{own['knowledgeBaseId']}"
    ingest("secret.txt", b"The combination of the safe is nine seven three.", into=path)
    run = acme.post(f"/agents/{agent}/run", {"prompt": "What is the combination of the safe?"}, status=202)
    run_workers()
    done = acme.get(f"/runs/{run['runId']}")
    assert done["status"] == "SUCCEEDED" and "nine seven three" in done["output"]
    _, editor = make_member(Role.EDITOR)
    theirs = Door(editor, acme.url, acme.library)
    assert theirs.items(f"/knowledgebases?forAgentId={agent}") == []
    theirs.get(f"/runs/{run['runId']}", status=404)


def test_deleted_knowledge_base_takes_files_objects_and_vectors(
    acme: Door, ingest: Arrive, run_workers: Callable[[], int]
) -> None:
    """`DELETE …/{kb}`: removes all files, objects and vectors; answers `{"message": "File deleted", "knowledgeBaseId":
    …}`."""
    shelf, kept = acme.new_knowledge_base(), ingest("kept.txt")
    files = [ingest(f"{name}.txt", into=shelf) for name in ("a", "b")]
    links = [acme.post(f"{path_of(file)}/download-link")["downloadLink"] for file in files]
    assert [bytes_at(link) for link in links] == [TEXT, TEXT]
    gone = acme.delete(shelf)
    assert gone == {"message": "File deleted", "knowledgeBaseId": shelf.rpartition("/")[2]}
    run_workers()
    assert [bytes_at(link) for link in links] == [None, None]
    for file in files:
        acme.get(path_of(file), status=404)
        assert retrieval.count_vectors(file["organizationId"], file_id=file["fileId"]) == 0
    acme.post(f"{shelf}/search", {"query": "filter"}, status=404)
    usage = acme.get("/usage")
    assert (usage["files"], usage["bytes"]) == (1, kept["sizeBytes"])
    assert [it["fileId"] for it in acme.search(acme.library, "How often is the filter changed?")] == [
        kept["fileId"]
    ]


def test_public_knowledge_base_is_read_by_others_and_changed_by_none(
    acme: Door, ingest: Arrive, elsewhere: Door, anonymous: CommittingClient
) -> None:
    """“isPublic: true lets any authenticated member of another organization read and search it, never change it”."""
    file = ingest()
    for path in (acme.library, path_of(file)):
        elsewhere.get(path, status=404)
    described = {"title": "Open", "llmDescription": "For all."}
    acme.put(acme.library, described | {"isPublic": True})
    assert elsewhere.get(acme.library)["title"] == "Open"
    assert elsewhere.get(path_of(file))["status"] == "READY"
    assert [it["fileId"] for it in elsewhere.search(acme.library, "filter")] == [file["fileId"]]
    elsewhere.put(acme.library, described, status=403)
    elsewhere.delete(acme.library, status=403)
    elsewhere.delete(path_of(file), status=403)
    elsewhere.post(f"{path_of(file)}/reindex", status=403)
    upload = {"fileName": "a.txt", "contentType": "text/plain"}
    elsewhere.post(f"{acme.library}/files/upload-url", upload, status=403)
    elsewhere.get(f"{acme.url}/knowledgebases", status=404)  # the organization stays closed
    assert anonymous.get(acme.library).status_code == 401
    acme.put(acme.library, described | {"isPublic": False})
    elsewhere.get(acme.library, status=404)


def test_copied_knowledge_base_is_searched_elsewhere_and_nothing_is_embedded(
    session: Door, acme: Door, ingest: Arrive, second: Door, run_workers: Callable[[], int]
) -> None:
    """`POST …/{kb}/copy-to`: copies the KB with all its files into an organization the caller may write to;
    “embeddings are copied, never computed again”."""
    files = [ingest(f"{n}.txt", f"Lighthouse {n} is lit at dusk.".encode(), tags=["sea"]) for n in range(3)]
    target = {"targetOrganizationId": second.url.removeprefix("/orgs/")}
    made = session.post(f"{acme.library}/copy-to", target, status=202)
    assert made["copy"]["filesTotal"] == 3
    copied = f"{second.url}/knowledgebases/{made['knowledgeBaseId']}"
    embedder = CountingEmbedder(runtime.get_embedder(settings.EMBEDDING_MODEL))
    with runtime.using(embedder=embedder):
        run_workers()
    assert embedder.texts == 0
    assert second.get(copied)["organizationId"] == target["targetOrganizationId"]
    there = second.items(f"{copied}/files?orderBy=fileName")
    assert [(it["fileName"], it["status"], it["tags"]) for it in there] == [
        (it["fileName"], "READY", ["sea"]) for it in files
    ]
    assert [it["chunkCount"] for it in there] == [it["chunkCount"] for it in files]
    here = session.search(acme.library, "Which lighthouse is lit?")
    found = second.search(copied, "Which lighthouse is lit?")
    assert sorted(it["text"] for it in found) == sorted(it["text"] for it in here) != []
    assert {it["fileId"] for it in found} == {it["fileId"] for it in there}
    assert [round(it["similarity"], 4) for it in found] == [round(it["similarity"], 4) for it in here]
    [job] = second.items(f"{copied}/copies")
    assert (job["status"], job["filesDone"], job["progress"]) == ("SUCCEEDED", 3, 100)
    session.delete(path_of(files[0]))
    run_workers()
    assert len(second.items(f"{copied}/files")) == len(second.search(copied, "lighthouse")) == 3
    acme.post(f"{acme.library}/copy-to", {"targetOrganizationId": "org-unknown"}, status=404)
