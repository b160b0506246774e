"""What is searched for may be pasted from anywhere, as what is in a file may."""

import pytest

from apps.knowledge.search import search
from tests.conftest import Tenant, Upload

TEXT = "The stee\u00adl cormorant dries its \ufb01ne wings at the we\u200bir beside Zu\u0308rich."


@pytest.mark.parametrize(
    "query",
    [
        "cor\u00admorant",
        "cor\u200bmorant",
        "\ufeffsteel",
        "\ufb01ne",
        "fine",
        "weir",
        "Zürich",
        "Zu\u0308rich",
    ],
)
def test_a_word_is_found_however_it_was_pasted(
    tenant: Tenant, ingest: Upload, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setattr("apps.retrieval.fusion.COSINE_WEIGHT", 0.0)  # by its letters, not by its vector
    ingest("bird.txt", TEXT.encode(), "text/plain")
    with tenant.scope():
        (found,) = search([tenant.library], query)
    assert found.passage.score == pytest.approx(1.0)


@pytest.mark.parametrize("query", ["", " \n", "\u200b", "\u00ad \ufeff"])
def test_a_query_of_nothing_that_is_seen_finds_nothing(tenant: Tenant, ingest: Upload, query: str) -> None:
    ingest("bird.txt", TEXT.encode(), "text/plain")
    with tenant.scope():
        assert search([tenant.library], query) == []
