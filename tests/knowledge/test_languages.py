"""Nobody configures a language: it is told when a file is indexed, and searched for from then on."""

import pytest

from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.languages import add_languages
from apps.knowledge.models import KnowledgeBase
from apps.knowledge.search import search
from tests.conftest import Tenant, Upload

GERMAN = "Die Häuser am Wehr wurden von den Fischern gebaut, die im Winter flussaufwärts zogen."
CHINESE = "鸬鹚在捕鱼之后站在堰边晾干它的翅膀，渔民在2016年建造了那里的房子。"
ENGLISH = "The cormorant dries its wings at the weir after it has been fishing all morning."


def _languages(tenant: Tenant) -> list[str]:
    with tenant.scope():
        found: list[str] = KnowledgeBase.objects.get(pk=tenant.library.pk).languages
        return found


def test_languages_are_learned_as_files_go_live(tenant: Tenant, ingest: Upload) -> None:
    assert _languages(tenant) == []
    assert ingest("haus.txt", GERMAN.encode(), "text/plain").languages == ["de"]
    assert _languages(tenant) == ["de"]
    mixed = "\n\n".join([*[f"# Part {n}\n\n{ENGLISH * 3}" for n in range(3)], f"# 第一部分\n\n{CHINESE * 5}"])
    assert ingest("mixed.md", mixed.encode(), "text/markdown").languages == ["en", "zh"]
    assert _languages(tenant) == ["de", "en", "zh"]


def test_words_are_found_by_their_stem_in_whatever_language(
    tenant: Tenant, ingest: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.retrieval.fusion.COSINE_WEIGHT", 0.0)
    files = {
        "de": ingest("haus.txt", GERMAN.encode(), "text/plain"),
        "zh": ingest("lu.txt", CHINESE.encode(), "text/plain"),
        "en": ingest("bird.txt", ENGLISH.encode(), "text/plain"),
    }
    with tenant.scope():
        for language, query in (("de", "Haus Fischer"), ("zh", "晾干翅膀"), ("en", "fish drying")):
            best, *others = search([tenant.library], query)
            assert best.file.id == files[language].pk, query
            assert best.passage.chunk.language == language
            assert best.passage.score == pytest.approx(1.0)
            assert all(other.passage.score == 0 for other in others), query


def test_function_words_of_a_question_are_no_rare_words_of_another_language(
    tenant: Tenant, ingest: Upload
) -> None:
    """A German text that quotes English titles is the only one with "what", "is" and "how" in it."""
    ingest(
        "musik.txt",
        "Die Kapelle spielte zuerst „What Is the Colour of the Wind“ und danach „How Did the World Begin“, und das "
        "Publikum sang bis spät in die Nacht.".encode(),
        "text/plain",
    )
    moat = ingest("moat.txt", b"Its moat is eleven metres wide, and a drawbridge crosses it.", "text/plain")
    dough = ingest(
        "kochen.txt", "Für den Teig nimmt man Mehl, Wasser und ein wenig Hefe.".encode(), "text/plain"
    )
    with tenant.scope():
        library = KnowledgeBase.objects.get(pk=tenant.library.pk)
        for query, expected in (("How wide is the ditch?", moat), ("What is the flour of the Teig?", dough)):
            assert search([library], query)[0].file.id == expected.pk, query


def test_reused_content_keeps_its_languages(tenant: Tenant, ingest: Upload) -> None:
    first = ingest("one.txt", GERMAN.encode(), "text/plain")
    second = ingest("two.txt", GERMAN.encode(), "text/plain")
    assert second.languages == first.languages == ["de"]
    with tenant.scope():
        assert {found.passage.chunk.language for found in search([tenant.library], "Haus")} == {"de"}


def test_a_table_of_numbers_changes_no_score_and_is_found_by_its_words(
    tenant: Tenant, ingest: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """English was what a file without a language counted as, and the model is trusted more in English."""
    ingest("lu.txt", CHINESE.encode(), "text/plain")
    query = "晾干翅膀"
    with tenant.scope():
        (alone,) = search([tenant.library], query)
    table = ingest("sizes.csv", b"Filters,1998,3.5,77\nHinges,1999,4.5,88\n", "text/csv")
    assert table.languages == ["und"]
    assert _languages(tenant) == ["und", "zh"]
    with tenant.scope():
        library = KnowledgeBase.objects.get(pk=tenant.library.pk)
        beside = next(found for found in search([library], query) if found.file.id != table.pk)
        assert beside.passage.score == pytest.approx(alone.passage.score, abs=1e-6)
        monkeypatch.setattr("apps.retrieval.fusion.FOREIGN_COSINE_WEIGHT", 0.0)
        for words in ("Filters", "filter", "1998", "88 hinges"):
            best = search([library], words)[0]
            assert best.file.id == table.pk, words
            assert best.passage.score == pytest.approx(1.0), words


def test_a_language_once_learned_stays(tenant: Tenant) -> None:
    with tenant.scope():
        add_languages(tenant.library.pk, ["fr", "de"])
        add_languages(tenant.library.pk, ["en"])
        add_languages(tenant.library.pk, [])
    assert _languages(tenant) == ["de", "en", "fr"]


def test_languages_of_one_models_knowledge_bases_change_no_scores_of_anothers(
    tenant: Tenant, ingest: Upload
) -> None:
    """The model of a library in Chinese does not know it, whatever else is searched along with it."""
    ingest("lu.txt", CHINESE.encode(), "text/plain")
    with tenant.scope():
        library = KnowledgeBase.objects.get(pk=tenant.library.pk)
        english = create_knowledge_base(
            organization=tenant.organization,
            creator=tenant.owner,
            title="English",
            embedding_model="multilingual-e5-small",
        )
        add_languages(english.pk, ["en"])
        english.refresh_from_db()
        (alone,) = search([library], "晾干翅膀")
        (beside,) = search([library, english], "晾干翅膀")
    assert beside.passage.score == pytest.approx(alone.passage.score)
