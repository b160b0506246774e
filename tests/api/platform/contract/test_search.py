"""Search: what is found, in which form, and what narrows it."""

from typing import Any

from tests.api.platform.contract.conftest import Arrive, Door
from tests.fixtures import documents

RESULT = {"vectorId", "fileId", "fileName", "key", "pages", "text", "similarity", "externalFileUrl"}


def test_result_tells_where_it_is_from(acme: Door, ingest: Arrive) -> None:
    """`POST …/{kb}/search`: `{"query", "limit"}`; answers `{"results": […]}`. “similarity (cosine, 0–1)”."""
    original = "https://example.com/care.txt"
    file = ingest(externalFileUrl=original)
    other = ingest("pump.txt", b"The pump is painted green.")
    answer = acme.post(f"{acme.library}/search", {"query": "How often is the filter changed?", "limit": 5})
    assert set(answer) == {"results"}
    best = answer["results"][0]
    assert set(best) == RESULT
    assert {name: best[name] for name in ("fileId", "fileName", "key")} == {
        name: file[name] for name in ("fileId", "fileName", "key")
    }
    assert "filter is changed once a year" in best["text"]
    assert (best["externalFileUrl"], best["pages"]) == (original, None)
    assert best["vectorId"].startswith("vec-")
    assert all(0 <= it["similarity"] <= 1 for it in answer["results"])
    others = [it for it in acme.search(acme.library, "pump painted green") if it["fileId"] == other["fileId"]]
    assert others[0]["externalFileUrl"] is None
    assert len(acme.search(acme.library, "pump", limit=1)) == 1


def test_pages_are_one_or_some(acme: Door, ingest: Arrive) -> None:
    """“pages ("5" or "5-7", null where a format has none)”."""
    one_each = ingest("long.pdf", documents.pdf(7), "application/pdf")
    across = ingest("short.pdf", documents.pdf(3, sentences_per_page=1), "application/pdf")
    query = documents.sentence_of_page(5)
    found = acme.search(acme.library, query, fileIds=[one_each["fileId"]], limit=20)
    assert any("5" in _pages(it["pages"]) and query in it["text"] for it in found)
    whole = acme.search(acme.library, documents.sentence_of_page(1), fileIds=[across["fileId"]])
    assert whole[0]["pages"] == "1-3"
    single = ingest("single.pdf", documents.pdf(1), "application/pdf")
    assert {it["pages"] for it in acme.search(acme.library, "town", fileIds=[single["fileId"]])} == {"1"}
    text = ingest("care.txt")
    assert {it["pages"] for it in acme.search(acme.library, "filter", fileIds=[text["fileId"]])} == {None}


def _pages(told: str) -> list[str]:
    first, _, last = told.partition("-")
    return [str(page) for page in range(int(first), int(last or first) + 1)]


def test_search_is_narrowed(acme: Door, ingest: Arrive) -> None:
    """`POST …/{kb}/search`: optional filters (`fileIds`, `tags`, `metadata`, `minSimilarity`)."""
    spring = ingest("a.txt", b"The heron nests in spring.", tags=["bird", "spring"], metadata={"year": 2025})
    winter = ingest("b.txt", b"The heron starves in winter.", tags=["bird"], metadata={"year": 2026})

    def found(**filters: Any) -> set[str]:
        return {it["fileId"] for it in acme.search(acme.library, "heron", **filters)}

    both = {spring["fileId"], winter["fileId"]}
    assert found() == found(tags=["bird"]) == found(fileIds=[*both]) == found(minSimilarity=0) == both
    assert found(fileIds=[spring["fileId"]]) == found(tags=["spring", "none"]) == {spring["fileId"]}
    assert found(metadata={"year": 2026}) == {winter["fileId"]}
    assert found(metadata={"year": 2025}, tags=["spring"]) == {spring["fileId"]}
    assert not found(tags=["none"]) and not found(fileIds=[]) and not found(metadata={"year": "2026"})
    assert not found(minSimilarity=1)
    for name, wrong in (
        ("query", 7),
        ("limit", "5"),
        ("limit", 0),
        ("limit", 101),
        ("fileIds", "file-1"),
        ("tags", {"a": 1}),
        ("metadata", ["year"]),
        ("minSimilarity", 1.1),
    ):
        error = acme.post(f"{acme.library}/search", {"query": "heron"} | {name: wrong}, status=400)["error"]
        assert list(error["fields"]) == [name]
    assert list(acme.post(f"{acme.library}/search", {}, status=400)["error"]["fields"]) == ["query"]
