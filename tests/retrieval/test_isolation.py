"""Whatever tenants do and whatever filters say, an index answers as a list of points in memory would.

Several tenants write, copy and delete at random, on both engines, beside a model in Python: what each finds, fetches
and counts, and every score, must be what its own points alone would give. A failure names its seed, which repeats it.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from apps.retrieval.contracts import EncodedChunk, EncodedQuery, RevisionCount, VectorIndex
from apps.retrieval.errors import OrganizationRequired
from apps.retrieval.passages import FileAttributes, RevisionAddress, SearchScope
from apps.retrieval.payload import point_id
from tests.retrieval.material import MODEL, address, encoded, question

pytestmark = pytest.mark.once

ORGANIZATIONS = ("org-a", "org-b", "org-c", "org-*")
# Named alike everywhere: only the organization tells them apart. File ids are unique, as the database makes them.
KNOWLEDGE_BASES = ("kb-0", "kb-1")
FILES = {organization: [f"file-{organization}-{n}" for n in range(3)] for organization in ORGANIZATIONS}
ALL_FILES = [file for files in FILES.values() for file in files]
REVISIONS = (1, 2, 11)
WORDS = ("alpha", "beta", "gamma", "delta")
# What somebody might write who takes filters for a language.
HOSTILE = (
    "*",
    "",
    "org-a",
    'red" OR "1"="1',
    "organization_id=org-a",
    "{}",
    "[]",
    "null",
    "\u202e",
    "red\n",
    "RED",
    "%",
    "🜲",
)
TAGS = ("red", "green", *HOSTILE)
VALUES = (1, 1.0, 1.5, True, False, 0, "1", "true", *HOSTILE)
KEYS = ("year", "organization_id", "a=b")
STEPS = 120


@dataclass(frozen=True)
class StoredPoint:
    where: RevisionAddress
    attributes: FileAttributes
    encoded: EncodedChunk


def _is_seen(point: StoredPoint, scope: SearchScope) -> bool:
    where, own = point.where, point.attributes
    return (
        where.organization_id == scope.organization_id
        and where.knowledge_base_id in filter(None, scope.knowledge_base_ids)
        and (scope.file_ids is None or where.file_id in scope.file_ids)
        and (not scope.tags or not set(scope.tags).isdisjoint(own.tags))
        and all(
            key in own.metadata and _same(own.metadata[key], value) for key, value in scope.metadata.items()
        )
        and (where.file_id, where.revision) not in scope.hidden
    )


def _same(one: object, other: object) -> bool:
    """As JSON has it: 1 is 1.0, and true is neither."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


class TenantsAtWork:
    """``points`` is what the index should hold, by point id."""

    def __init__(self, index: VectorIndex, chance: Random) -> None:
        self.index = index
        self.chance = chance
        self.points: dict[str, StoredPoint] = {}

    def work(self) -> None:
        for organization in ORGANIZATIONS:
            for file in FILES[organization]:
                self._write(organization, file)
        writes = (self.write, self.copy, self.change_attributes)
        deletions = (
            self.delete_revision,
            self.delete_file,
            self.delete_knowledge_base,
            self.delete_organization,
        )
        for _ in range(STEPS):
            self.chance.choices((*writes, *deletions), (6, 3, 3, 1, 1, 0.3, 0.2))[0]()
            self.every_tenant_has_its_own_points()
            self.count()
            self.search(self._scope())
            self.fetch_everything(self._scope())
            self.no_organization_is_an_error(self._scope())

    # --- what tenants do ------------------------------------------------------------------------------

    def write(self) -> None:
        organization = self.chance.choice(ORGANIZATIONS)
        self._write(organization, self.chance.choice(FILES[organization]))

    def _write(self, organization: str, file: str) -> None:
        home = self._home(file, self.chance.choice(KNOWLEDGE_BASES))
        where, attributes = (
            address(organization, home, file, self.chance.choice(REVISIONS)),
            self._attributes(),
        )
        texts = [self._words() for _ in range(self.chance.randint(1, 4))]
        chunks = [encoded(text, ordinal=n) for n, text in enumerate(texts)]
        self.index.upsert(where, attributes, chunks)
        for chunk in chunks:
            self._keep(where, attributes, chunk)

    def copy(self) -> None:
        """Also from an organization that only claims to own the source, which yields nothing."""
        organization = self.chance.choice(ORGANIZATIONS)
        file = self.chance.choice(FILES[organization])
        where, attributes = address(organization, self._home(file, "kb-0"), file, 12), self._attributes()
        source = self._some_address()
        copied = [point for point in self.points.values() if point.where == source]
        assert self.index.copy_revision(source, where, attributes) == len(copied)
        for point in copied:
            self._keep(where, attributes, point.encoded)

    def change_attributes(self) -> None:
        meant, attributes = self._some_address(), self._attributes()
        self.index.set_attributes(meant.organization_id, meant.file_id, attributes)
        for key, point in self.points.items():
            if (point.where.organization_id, point.where.file_id) == (meant.organization_id, meant.file_id):
                self.points[key] = replace(point, attributes=attributes)

    def delete_revision(self) -> None:
        meant = self._some_address()
        self.index.delete_revision(meant)
        self._drop(lambda point: point.where == meant)

    def delete_file(self) -> None:
        meant = self._some_address()
        file = self.chance.choice([meant.file_id, meant.file_id, *HOSTILE])
        self.index.delete_file(meant.organization_id, file)
        both = (meant.organization_id, file)
        self._drop(lambda point: (point.where.organization_id, point.where.file_id) == both)

    def delete_knowledge_base(self) -> None:
        both = (self.chance.choice(ORGANIZATIONS), self.chance.choice([*KNOWLEDGE_BASES, *HOSTILE]))
        self.index.delete_knowledge_base(*both)
        self._drop(lambda point: (point.where.organization_id, point.where.knowledge_base_id) == both)

    def delete_organization(self) -> None:
        organization = self.chance.choice(ORGANIZATIONS)
        self.index.delete_organization(organization)
        self._drop(lambda point: point.where.organization_id == organization)

    # --- what they see ----------------------------------------------------------------------------------

    def search(self, scope: SearchScope) -> None:
        per_leg = self.chance.choice([1, 3, 1000])
        seen = {key: point for key, point in self.points.items() if _is_seen(point, scope)}
        query = question(self._words(), seed=self.chance.randrange(50))
        found = {
            str(candidate.point_id): candidate
            for candidate in self.index.candidates(scope, query, per_leg=per_leg)
        }
        assert found.keys() <= seen.keys()
        assert len(found) >= min(per_leg, len(seen)), (
            "the best of the scope, and none lost to points outside it"
        )
        cosine = {key: float(point.encoded.dense @ query.dense()) for key, point in seen.items()}
        bm25 = self._bm25(scope, query, seen)
        for key, candidate in found.items():
            assert candidate.cosine == pytest.approx(cosine[key], abs=1e-5)
            assert candidate.bm25 == pytest.approx(bm25[key], abs=1e-4)
        missed = cosine.keys() - found.keys()
        for scores in (cosine, bm25):  # nothing that was left out is better than the worst of the best
            best = sorted(scores.values(), reverse=True)[:per_leg]
            assert all(scores[key] <= best[-1] + 1e-4 for key in missed)

    def fetch_everything(self, scope: SearchScope) -> None:
        found = self.index.fetch(scope, list(self.points))
        fetched = {str(key): stored for key, stored in found.items()}
        seen = {key: point for key, point in self.points.items() if _is_seen(point, scope)}
        assert fetched.keys() == seen.keys()
        for key, stored in fetched.items():
            assert (stored.address, stored.chunk) == (seen[key].where, seen[key].encoded.chunk)

    def count(self) -> None:
        meant = self._some_address()
        given: dict[str, Any] = {}
        if self.chance.random() < 0.5:
            given["knowledge_base_id"] = meant.knowledge_base_id
        if self.chance.random() < 0.7:
            given["file_id"] = meant.file_id
            if self.chance.random() < 0.5:
                given["revision"] = meant.revision
        expected = sum(
            point.where.organization_id == meant.organization_id
            and all(getattr(point.where, name) == value for name, value in given.items())
            for point in self.points.values()
        )
        assert self.index.count(meant.organization_id, **given) == expected

    def no_organization_is_an_error(self, scope: SearchScope) -> None:
        nobody = replace(scope, organization_id="")
        for call in (
            lambda: self.index.candidates(nobody, question("alpha"), per_leg=10),
            lambda: self.index.fetch(nobody, list(self.points)),
            lambda: self.index.count(""),
            lambda: self.index.revisions(""),
            lambda: self.index.delete_organization(""),
        ):
            with pytest.raises(OrganizationRequired):
                call()

    def every_tenant_has_its_own_points(self) -> None:
        held: Counter[tuple[str, str, int]] = Counter(
            (point.where.organization_id, point.where.file_id, point.where.revision)
            for point in self.points.values()
        )
        for organization in ORGANIZATIONS:
            assert _counts(self.index.revisions(organization)) == {
                key: number for key, number in held.items() if key[0] == organization
            }
        assert _counts(self.index.all_revisions()) == held

    # --- by lot -----------------------------------------------------------------------------------------

    def _words(self) -> str:
        return " ".join(self.chance.choices(WORDS, k=self.chance.randint(1, 5)))

    def _attributes(self) -> FileAttributes:
        tags = self.chance.sample(TAGS, self.chance.randint(0, 3))
        keys = self.chance.sample(KEYS, self.chance.randint(0, 2))
        return FileAttributes(tuple(tags), {key: self.chance.choice(VALUES) for key in keys})

    def _some_address(self) -> RevisionAddress:
        """Of points that there are; one time in three somebody claims another's."""
        if not self.points:
            return address()
        where = self.chance.choice(list(self.points.values())).where
        if self.chance.random() < 0.33:
            where = replace(where, organization_id=self.chance.choice(ORGANIZATIONS))
        return where

    # --- the model --------------------------------------------------------------------------------------

    def _scope(self) -> SearchScope:
        """What a tenant may ask for: things of its own, of others, and of nobody."""
        chance = self.chance
        organization = chance.choice(ORGANIZATIONS)
        own = [point for point in self.points.values() if point.where.organization_id == organization]
        someone = chance.choice([*own, *self.points.values()]) if self.points else None
        pairs = list(someone.attributes.metadata.items()) if someone else []
        revisions = sorted({(point.where.file_id, point.where.revision) for point in own})
        return SearchScope(
            organization_id=organization,
            knowledge_base_ids=chance.choice(
                [KNOWLEDGE_BASES, KNOWLEDGE_BASES[:1], (), ("kb-9",), ("kb-1", *HOSTILE), HOSTILE]
            ),
            model=MODEL,
            file_ids=chance.choice(
                [None, None, (), tuple(chance.sample(ALL_FILES, 4)), (*FILES[organization], *HOSTILE)]
            ),
            tags=chance.choice([(), (), tuple(chance.sample(TAGS, 2))]),
            metadata=chance.choice(
                [{}, {}, dict(pairs[:1]), dict(pairs), {key: _alike(value, chance) for key, value in pairs}]
            ),
            hidden=frozenset(chance.sample(revisions, chance.randint(0, min(3, len(revisions)))))
            | {("file-9", 1), (chance.choice(ALL_FILES), 2)},
        )

    def _home(self, file: str, otherwise: str) -> str:
        """The knowledge base that the file is in already: a file does not move while it has points."""
        homes = (p.where.knowledge_base_id for p in self.points.values() if p.where.file_id == file)
        return next(homes, otherwise)

    def _keep(self, where: RevisionAddress, attributes: FileAttributes, chunk: EncodedChunk) -> None:
        key = point_id(where.file_id, where.revision, chunk.chunk.ordinal)
        self.points[key] = StoredPoint(where, attributes, chunk)

    def _drop(self, is_meant: Callable[[StoredPoint], bool]) -> None:
        self.points = {key: point for key, point in self.points.items() if not is_meant(point)}

    def _bm25(
        self, scope: SearchScope, query: EncodedQuery, seen: Mapping[str, StoredPoint]
    ) -> dict[str, float]:
        """Document frequencies over the knowledge bases that are searched, hidden revisions left out."""
        corpus = [
            _terms(point)
            for point in self.points.values()
            if point.where.organization_id == scope.organization_id
            and point.where.knowledge_base_id in scope.knowledge_base_ids
            and (point.where.file_id, point.where.revision) not in scope.hidden
        ]
        asked = dict(zip(query.sparse.indices, query.sparse.values, strict=True))
        idf = {}
        for term in asked:
            having = sum(term in terms for terms in corpus)
            idf[term] = math.log(1 + (len(corpus) - having + 0.5) / (having + 0.5))
        return {
            key: sum(
                asked[term] * idf[term] * weight for term, weight in _terms(point).items() if term in asked
            )
            for key, point in seen.items()
        }


def _alike(value: object, chance: Random) -> str | int | float | bool:
    """Something that a careless comparison takes for the value."""
    alike: list[str | int | float | bool] = [
        str(value), bool(value), f"{value}", 1, json.dumps(value), f" {value}",
    ]  # fmt: skip
    return chance.choice(alike)


def _terms(point: StoredPoint) -> dict[int, float]:
    return dict(zip(point.encoded.sparse.indices, point.encoded.sparse.values, strict=True))


def _counts(rows: Iterator[RevisionCount] | list[RevisionCount]) -> dict[tuple[str, str, int], int]:
    return {(row.organization_id, row.file_id, row.revision): row.points for row in rows}


@pytest.mark.parametrize("seed", [20, 21])
def test_tenants_see_and_change_their_own_points_only(index: VectorIndex, seed: int) -> None:
    TenantsAtWork(index, Random(seed)).work()
