"""Names are found without regard to case, and to how they are composed, alike in every database."""

from importlib import import_module

import pytest
from django.apps import apps

from apps.documents.models import Document
from apps.knowledge.models import File
from apps.orgs.scope import system_scope
from tests.conftest import CommittingClient, Tenant

NAMES = ("ÜBERSICHT.txt", "U\u0308bersicht 2.txt", "Straße.txt", "Ιλιάς.txt", "plain.txt")
FOUND = {"übersicht": 2, "\u00dcbersicht 2": 1, "STRASSE": 1, "ΙΛΙΆΣ": 1, "PLAIN": 1, "%": 0, "_": 0, "": 5}


def count(api: CommittingClient, url: str, query: str) -> int:
    total: int = api.get(url, {"query": query} if query else {}).json()["totalRows"]
    return total


@pytest.fixture
def urls(api: CommittingClient, tenant: Tenant) -> tuple[str, str]:
    """Of a list of files and one of documents, which have these names."""
    files = [{"fileName": name, "contentType": "text/plain"} for name in NAMES]
    assert (
        api.post(f"{tenant.library_url}/files/upload-urls", {"files": files}, format="json").status_code
        == 200
    )
    for name in NAMES:
        assert api.post(f"{tenant.url}/documents", {"title": name}, format="json").status_code == 201
    return f"{tenant.library_url}/files", f"{tenant.url}/documents"


def test_name_is_found_however_it_is_written(api: CommittingClient, urls: tuple[str, str]) -> None:
    for url in urls:
        assert {query: count(api, url, query) for query in FOUND} == FOUND


def test_new_title_is_found_and_the_old_one_is_not(api: CommittingClient, urls: tuple[str, str]) -> None:
    _, documents = urls
    document = api.get(documents, {"query": "plain"}).json()["items"][0]
    api.put(f"{documents}/{document['documentId']}", {"title": "Ärger"}, format="json")
    assert [count(api, documents, query) for query in ("ÄRGER", "plain")] == [1, 0]


def test_what_was_there_before_there_was_the_column_is_found(
    api: CommittingClient, urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with system_scope("tests"):
        File.objects.update(file_name_folded="")
        Document.objects.update(title_folded="")
        assert {count(api, url, "plain") for url in urls} == {0}
        for name in (
            "apps.knowledge.migrations.0019_folded_names",
            "apps.documents.migrations.0002_folded_titles",
        ):
            migration = import_module(name)
            monkeypatch.setattr(migration, "BATCH", 2)
            migration.fold(apps, None)
    for url in urls:
        assert {query: count(api, url, query) for query in FOUND} == FOUND
