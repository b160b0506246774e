"""Whatever the filters say, no search, count or deletion reaches another tenant."""

import random

from apps.retrieval.contracts import VectorIndex
from apps.retrieval.passages import FileAttributes, SearchScope
from tests.retrieval.material import address, encoded, question

TENANTS = 12
WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")
TAGS = ("red", "green", "blue")


def _fill(index: VectorIndex, chance: random.Random) -> dict[str, str]:
    """Give every tenant files under ids that others use too; return each point's text → its tenant."""
    owners = {}
    for tenant in range(TENANTS):
        organization = f"org-{tenant}"
        for number in range(4):
            attributes = FileAttributes(tuple(chance.sample(TAGS, 2)), {"year": chance.choice([2020, 2021])})
            # Knowledge bases and files are named alike everywhere: only the organization tells them apart.
            where = address(organization, f"kb-{number % 2}", f"file-{tenant}-{number}", 1)
            texts = [f"{chance.choice(WORDS)} {organization} {number} {n}" for n in range(5)]
            owners |= dict.fromkeys(texts, organization)
            index.upsert(where, attributes, [encoded(text, ordinal=n) for n, text in enumerate(texts)])
    return owners


def _random_scope(chance: random.Random) -> SearchScope:
    files = [f"file-{chance.randrange(TENANTS)}-{chance.randrange(4)}" for _ in range(3)]
    return SearchScope(
        organization_id=f"org-{chance.randrange(TENANTS)}",
        knowledge_base_ids=tuple(chance.sample(["kb-0", "kb-1", "kb-9", ""], chance.randrange(4))),
        file_ids=chance.choice([None, None, tuple(files), ()]),
        tags=tuple(chance.sample(TAGS, chance.randrange(3))),
        metadata=chance.choice([{}, {}, {"year": 2020}]),
        hidden=frozenset((file, 1) for file in chance.sample(files, chance.randrange(3))),
    )


def test_random_searches_never_find_a_foreign_point(index: VectorIndex) -> None:
    chance = random.Random(20)
    owners = _fill(index, chance)
    ids_of_everyone = [
        candidate.point_id
        for tenant in range(TENANTS)
        for candidate in index.candidates(
            SearchScope(f"org-{tenant}", ("kb-0", "kb-1")), question("alpha"), per_leg=100
        )
    ]
    assert len(ids_of_everyone) == len(owners)
    found_something = 0
    for _ in range(200):
        scope = _random_scope(chance)
        query = question(" ".join(chance.sample(WORDS, 2)), seed=chance.randrange(1000))
        candidates = index.candidates(scope, query, per_leg=chance.choice([1, 5, 200]))
        own = index.fetch(scope, [candidate.point_id for candidate in candidates])
        assert own.keys() == {candidate.point_id for candidate in candidates}
        for stored in [*own.values(), *index.fetch(scope, ids_of_everyone).values()]:
            found_something += 1
            assert owners[stored.chunk.text] == scope.organization_id == stored.address.organization_id
            assert stored.address.knowledge_base_id in scope.knowledge_base_ids
            assert scope.file_ids is None or stored.address.file_id in scope.file_ids
            assert (stored.address.file_id, stored.address.revision) not in scope.hidden
    assert found_something > 500


def test_random_deletions_leave_every_other_tenant_whole(index: VectorIndex) -> None:
    chance = random.Random(21)
    _fill(index, chance)
    expected = {f"org-{tenant}": 20 for tenant in range(TENANTS)}
    for _ in range(40):
        mine, theirs = chance.randrange(TENANTS), chance.randrange(TENANTS)
        organization, number = f"org-{mine}", chance.randrange(4)
        file = f"file-{theirs}-{number}"
        match chance.randrange(3):
            case 0:
                index.delete_file(organization, file)
            case 1:
                index.delete_revision(address(organization, f"kb-{number % 2}", file, 1))
            case 2:
                index.set_attributes(organization, file, FileAttributes(("stolen",)))
        for tenant in range(TENANTS):
            count = index.count(f"org-{tenant}")
            assert count == expected[f"org-{tenant}"] or tenant == mine
            expected[f"org-{tenant}"] = count
    assert sum(expected.values()) < 20 * TENANTS
