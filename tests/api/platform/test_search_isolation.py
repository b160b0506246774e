"""Searches over HTTP that name what belongs to others: whatever they ask for, they get what is theirs, or a 404."""

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from apps.knowledge.knowledge_bases import create_knowledge_base, update_knowledge_base
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.statuses import FileStatus
from apps.orgs.scope import tenant_scope
from apps.retrieval import services as retrieval
from apps.retrieval.passages import Chunk, FileAttributes, RevisionAddress
from tests.conftest import CommittingClient, Tenant, client_with_key

pytestmark = pytest.mark.django_db
SEARCHES = 25
TAGS = ("red", "*", 'x" OR "1"="1')
METADATA: tuple[dict[str, Any], ...] = ({}, {"year": 2020}, {"year": "2020"}, {"organization_id": "*"})


def _put_file(base: KnowledgeBase, number: int) -> File:
    """A file that is READY, with two passages, in the words of everybody's files."""
    attributes = FileAttributes((TAGS[number % len(TAGS)],), {"year": 2020})
    with tenant_scope(base.organization_id):
        file = File.objects.create(
            knowledge_base=base,
            file_name=f"{number}.txt",
            content_type="text/plain",
            tags=list(attributes.tags),
            metadata=dict(attributes.metadata),
            status=FileStatus.READY,
            chunk_count=2,
            last_revision=1,
            live_revision=1,
        )
    where = RevisionAddress(base.organization_id, base.pk, file.pk, 1, base.embedding_model)
    texts = (
        f"The turbine of hall {number} is inspected.",
        f"Its blades are cleaned, says {base.organization_id}.",
    )
    retrieval.index_chunks(where, attributes, [Chunk(n, text) for n, text in enumerate(texts)])
    return file


@pytest.fixture
def tenants(make_tenant: Callable[[str], Tenant]) -> list[Tenant]:
    return [make_tenant(name) for name in ("One", "Two", "Three")]


def _search(client: CommittingClient, base: KnowledgeBase, organization_id: str = "", **body: Any) -> Any:
    organization_id = organization_id or base.organization_id
    url = f"/orgs/{organization_id}/knowledgebases/{base.pk}/search"
    return client.post(url, {"query": "turbine blades", "limit": 100, **body}, format="json")


def test_no_filter_reaches_another_tenants_file(tenants: list[Tenant]) -> None:
    chance = Random(7)
    files = {tenant.organization.pk: [_put_file(tenant.library, n) for n in range(3)] for tenant in tenants}
    everyone = [file.pk for owned in files.values() for file in owned]
    found_own = 0
    for _ in range(SEARCHES):
        me, other = chance.sample(tenants, 2)
        client = client_with_key(me.secret)
        body: dict[str, Any] = {"metadata": chance.choice(METADATA)}
        if chance.random() < 0.7:
            body["fileIds"] = chance.sample([*everyone, "*"], chance.randint(0, 5))
        if chance.random() < 0.4:
            body["tags"] = chance.sample(TAGS, 2)
        foreign = (other.library, other.organization.pk), (other.library, me.organization.pk)
        for base, path in (*foreign, (me.library, other.organization.pk)):
            assert _search(client, base, path, **body).status_code == 404
        answer = _search(client, me.library, **body)
        assert answer.status_code == 200, answer.content
        mine = {file.pk for file in files[me.organization.pk]}
        for result in answer.json()["results"]:
            found_own += 1
            assert result["fileId"] in mine
            assert result["key"].startswith(f"orgs/{me.organization.pk}/")
    assert found_own > SEARCHES / 4


def test_guest_of_a_public_knowledge_base_sees_nothing_beside_it(tenants: list[Tenant]) -> None:
    host, guest, _ = tenants
    with host.scope():
        public = create_knowledge_base(organization=host.organization, creator=host.owner, title="Public")
        update_knowledge_base(public, actor_id=host.owner.pk, is_public=True)
    shown, private = _put_file(public, 0), _put_file(host.library, 1)
    client = client_with_key(guest.secret)
    for file_ids in ([shown.pk, private.pk], [private.pk], None):
        answer = _search(client, public) if file_ids is None else _search(client, public, fileIds=file_ids)
        assert answer.status_code == 200
        found = {result["fileId"] for result in answer.json()["results"]}
        assert found == ({shown.pk} if file_ids is None or shown.pk in file_ids else set())
    assert _search(client, host.library).status_code == 404


def test_revoked_key_and_removed_member_find_nothing_from_the_next_call_on(tenants: list[Tenant]) -> None:
    """Nothing about a permission is kept from one call to the next."""
    from apps.orgs.models import ApiKey, Membership

    for end in (ApiKey, Membership):
        tenant = tenants.pop()
        _put_file(tenant.library, 0)
        client = client_with_key(tenant.secret)
        assert _search(client, tenant.library).status_code == 200
        with tenant.scope():
            end.objects.all().delete()
        assert _search(client, tenant.library).status_code in {401, 404}


def test_passage_that_names_another_tenants_file_shows_nothing_of_it(tenants: list[Tenant]) -> None:
    """Whatever the index holds, whose a file is its row says."""
    mine, theirs = tenants[:2]
    file = _put_file(theirs.library, 1)
    base = mine.library
    where = RevisionAddress(base.organization_id, base.pk, file.pk, 1, base.embedding_model)
    retrieval.index_chunks(where, FileAttributes(), [Chunk(0, "The turbine blades of the other hall.")])
    answer = _search(client_with_key(mine.secret), base)
    assert (answer.status_code, answer.json()["results"]) == (200, [])
