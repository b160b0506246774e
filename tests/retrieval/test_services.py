"""From chunks to passages, through the services, with the real model."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.retrieval import runtime, services
from apps.retrieval.contracts import Embedder, RevisionCount, VectorIndex
from apps.retrieval.engines.edge import EdgeIndex
from apps.retrieval.engines.server import ServerIndex
from apps.retrieval.errors import OrganizationRequired
from apps.retrieval.passages import Chunk, FileAttributes
from tests.retrieval.material import address, scope
from tests.services.qdrant_server import QdrantServer

TEXTS = [
    "Photosynthesis turns light into chemical energy in the leaves of plants.",
    "The invoice INV-2231 was paid by bank transfer in March.",
    "Tidal turbines convert slow ocean currents into electric power.",
    "A sourdough starter is fed with flour and water every day.",
    "The committee postponed its decision on the new bridge.",
]


def _chunks(texts: list[str]) -> list[Chunk]:
    return [
        Chunk(2 * n, text, heading_path=("Almanac",), page_start=n + 1, page_end=n + 1)  # no two adjoin
        for n, text in enumerate(texts)
    ]


@pytest.fixture(params=["edge", "server"], autouse=True)
def own_index(request: pytest.FixtureRequest, tmp_path: Path, embedder: Embedder) -> Iterator[VectorIndex]:
    index: VectorIndex
    if request.param == "edge":
        index = EdgeIndex(folder=tmp_path, collection="test", dimension=embedder.dimension)
    else:
        server: QdrantServer = request.getfixturevalue("qdrant_server")
        collection = f"services-{tmp_path.name}"
        index = ServerIndex(url=server.url, api_key=None, collection=collection, dimension=embedder.dimension)
    with runtime.using(embedder=embedder, index=index):
        yield index
    index.close()


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("power stations driven by the sea", 3),
        ("INV-2231", 2),
        ("how do I bake bread", 4),
        ("sunlight and leaves", 1),
    ],
)
def test_right_passage_comes_first_with_its_page(query: str, page: int) -> None:
    services.index_chunks(address(), FileAttributes(), _chunks(TEXTS))
    found = services.search_passages([scope()], query, limit=3)
    assert found[0].chunk == _chunks(TEXTS)[page - 1]
    assert (found[0].file_id, found[0].knowledge_base_id, found[0].revision) == ("file-a", "kb-a", 1)
    assert [passage.score for passage in found] == sorted((p.score for p in found), reverse=True)
    assert all(0 <= passage.similarity <= 1 for passage in found)
    assert len(found) == 3


def test_similarity_is_the_cosine_to_the_query(embedder: Embedder) -> None:
    services.index_chunks(address(), FileAttributes(), _chunks(TEXTS))
    query = "electricity from ocean currents"
    for passage in services.search_passages([scope()], query, limit=5):
        (vector,) = embedder.embed_passages([passage.chunk.text_to_embed])
        cosine = float(vector @ embedder.embed_query(query))
        assert passage.similarity == pytest.approx(max(cosine, 0), abs=1e-3)


def test_threshold_keeps_the_similar_ones_only() -> None:
    services.index_chunks(address(), FileAttributes(), _chunks(TEXTS))
    everything = services.search_passages([scope()], "ocean currents", limit=5)
    bar = sorted(passage.similarity for passage in everything)[3]
    kept = services.search_passages([scope()], "ocean currents", limit=5, min_similarity=bar)
    assert [p.vector_id for p in kept] == [p.vector_id for p in everything if p.similarity >= bar]
    assert 0 < len(kept) < 5
    (first,) = services.search_passages([scope()], "ocean currents", limit=1, min_similarity=bar)
    assert first == kept[0]


def test_heading_is_found_though_the_text_does_not_say_it() -> None:
    chunks = [
        Chunk(0, "It must be renewed every two years.", heading_path=("Fishing licence",)),
        Chunk(1, "It must be renewed every five years.", heading_path=("Dog registration",)),
    ]
    services.index_chunks(address(), FileAttributes(), chunks)
    assert services.search_passages([scope()], "fishing licence", limit=1)[0].chunk == chunks[0]


def test_revision_may_come_in_several_calls_and_twice(own_index: VectorIndex) -> None:
    chunks = _chunks(TEXTS)
    for part in (chunks[:2], chunks[2:], chunks[:2], []):
        services.index_chunks(address(), FileAttributes(), part)
    assert services.count_vectors("org-a", file_id="file-a", revision=1) == 5
    assert services.list_revisions("org-a") == [RevisionCount(own_index.collection, "org-a", "file-a", 1, 5)]
    assert services.list_revisions("org-a") == list(services.iterate_all_revisions())


def test_blank_queries_and_no_room_find_nothing() -> None:
    services.index_chunks(address(), FileAttributes(), _chunks(TEXTS))
    assert services.search_passages([scope()], "  \n", limit=5) == []
    assert services.search_passages([scope()], "bread", limit=0) == []


def test_search_needs_an_organization() -> None:
    with pytest.raises(OrganizationRequired):
        services.search_passages([scope("")], "bread", limit=5)


def test_deleted_things_are_found_no_more() -> None:
    for file in ("file-a", "file-b", "file-c"):
        services.index_chunks(address(file=file), FileAttributes(("old",)), _chunks(TEXTS[:2]))
    services.set_file_attributes("org-a", "file-b", FileAttributes(("new",)))
    assert {p.file_id for p in services.search_passages([scope(tags=("new",))], "invoice", limit=9)} == {
        "file-b"
    }
    services.delete_revision(address())
    services.delete_file("org-a", "file-b")
    assert {p.file_id for p in services.search_passages([scope()], "invoice", limit=9)} == {"file-c"}
    services.delete_organization("org-a")
    assert services.count_vectors("org-a") == 0
    services.check_index()


def test_vector_id_is_the_points_own() -> None:
    services.index_chunks(address(), FileAttributes(), _chunks(TEXTS))
    ids = [p.vector_id for p in services.search_passages([scope()], "bread", limit=5)]
    assert len(set(ids)) == 5
    assert all(id_.startswith("vec-") and len(id_) == 36 for id_ in ids)
    assert ids == [p.vector_id for p in services.search_passages([scope()], "bread", limit=5)]
