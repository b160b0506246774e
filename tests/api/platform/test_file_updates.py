"""Changing what is said of a file: the row at once, the index after any crash."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.events.models import Event
from apps.knowledge import attributes, leases
from apps.knowledge.attributes import update_file
from apps.knowledge.models import AttributeUpdate, File
from apps.knowledge.sweep import sweep
from apps.orgs.roles import Role
from apps.orgs.scope import system_scope
from apps.retrieval import services as retrieval
from apps.retrieval.errors import IndexUnavailable
from tests.conftest import CommittingClient, Tenant, Upload, committing

TEXT = b"The heron stands on one leg."


@pytest.fixture
def file(ingest: Upload) -> File:
    return ingest("heron.txt", TEXT, "text/plain", tags=["old"], metadata={"year": 2025, "final": 1})


def _url(tenant: Tenant, file: File) -> str:
    return f"{tenant.library_url}/files/{file.pk}"


def _found(api: CommittingClient, tenant: Tenant, **narrowed: Any) -> int:
    answer = api.post(f"{tenant.library_url}/search", {"query": "heron", **narrowed}, format="json")
    return len(answer.json()["results"])


def _pending() -> int:
    with system_scope("tests"):
        return AttributeUpdate.objects.count()


def test_search_filters_by_what_was_changed_at_once(
    api: CommittingClient, tenant: Tenant, file: File
) -> None:
    body = {"tags": ["new", "new"], "metadata": {"year": 2026}}
    changed = api.put(_url(tenant, file), body, format="json")
    assert changed.status_code == 200
    assert (changed.json()["tags"], changed.json()["metadata"]) == (["new"], {"year": 2026})
    assert _found(api, tenant, tags=["new"], metadata={"year": 2026}) == 1
    assert _found(api, tenant, tags=["old"]) == 0
    assert _found(api, tenant, metadata={"year": 2025}) == 0
    assert _pending() == 0


def test_what_is_left_out_stays_and_null_takes_away(
    api: CommittingClient, tenant: Tenant, file: File
) -> None:
    url = _url(tenant, file)
    body = {"externalFileUrl": "https://example.com/heron", "customInstructions": "A field note."}
    assert {name: api.put(url, body, format="json").json()[name] for name in body} == body
    kept = api.put(url, {}, format="json").json()
    assert {name: kept[name] for name in body} == body and kept["tags"] == ["old"]
    gone = api.put(url, {"externalFileUrl": None, "customInstructions": "", "tags": []}, format="json").json()
    assert (gone["externalFileUrl"], gone["customInstructions"], gone["tags"]) == (None, None, [])


def test_one_is_not_true(api: CommittingClient, tenant: Tenant, file: File) -> None:
    api.put(_url(tenant, file), {"metadata": {"year": 2025, "final": True}}, format="json")
    assert api.get(_url(tenant, file)).json()["metadata"]["final"] is True
    assert _found(api, tenant, metadata={"final": True}) == 1


def test_change_is_told_in_the_history_once(api: CommittingClient, tenant: Tenant, file: File) -> None:
    for _ in range(2):
        api.put(_url(tenant, file), {"tags": ["new"]}, format="json")
    with tenant.scope():
        (event,) = Event.objects.filter(subject_id=file.pk, kind="file.updated")
    assert (event.payload, event.actor_id) == ({"changed": ["tags"]}, tenant.owner.pk)


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", "ftp://example.com/a", "file:///etc/passwd", "example.com", "data:text/html,x"],
)
def test_external_address_is_one_of_the_web(
    api: CommittingClient, tenant: Tenant, waiting_file: File, url: str
) -> None:
    refused = api.put(_url(tenant, waiting_file), {"externalFileUrl": url}, format="json")
    assert (refused.status_code, list(refused.json()["error"]["fields"])) == (400, ["externalFileUrl"])
    announced = {"fileName": "a.txt", "contentType": "text/plain", "externalFileUrl": url}
    assert api.post(f"{tenant.library_url}/files/upload-url", announced, format="json").status_code == 400


def test_viewers_and_guests_change_nothing(
    api: CommittingClient,
    outsider: CommittingClient,
    tenant: Tenant,
    waiting_file: File,
    make_member: Callable[..., tuple[User, CommittingClient]],
) -> None:
    api.put(tenant.library_url, {"title": "A", "llmDescription": "B", "isPublic": True}, format="json")
    _, viewer = make_member(Role.VIEWER)
    for client in (viewer, outsider):
        assert client.put(_url(tenant, waiting_file), {"tags": []}, format="json").status_code == 403


def test_form_of_a_file_can_be_sent_back_as_it_is(browser: Client, tenant: Tenant, file: File) -> None:
    page = browser.get(_url(tenant, file)).content.decode()
    assert 'value="old"' in page
    assert "&quot;year&quot;: 2025" in page


def test_index_that_is_away_is_told_by_the_sweep(
    api: CommittingClient, tenant: Tenant, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise IndexUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(retrieval, "set_file_attributes", away)
        answer = api.put(_url(tenant, file), {"tags": ["new"]}, format="json")
        assert (answer.status_code, answer.json()["tags"]) == (200, ["new"])
    assert (_found(api, tenant, tags=["new"]), _pending()) == (0, 1)
    with committing():
        assert sweep().attributes_told == 1
    assert (_found(api, tenant, tags=["new"]), _pending()) == (1, 0)


def test_process_that_dies_before_it_told_the_index_leaves_it_to_the_sweep(
    api: CommittingClient, tenant: Tenant, file: File
) -> None:
    with tenant.scope():
        update_file(file, tags=["new"])  # committed, and what follows the commit never runs
    assert _found(api, tenant, tags=["new"]) == 0
    with committing():
        assert sweep().attributes_told == 1
    assert _found(api, tenant, tags=["new"]) == 1


def test_process_that_dies_while_it_tells_is_followed_when_its_hold_is_over(
    api: CommittingClient, tenant: Tenant, file: File
) -> None:
    with tenant.scope():
        update_file(file, tags=["new"])
        AttributeUpdate.objects.update(held_until=timezone.now() + attributes.HOLD)
    with committing():
        assert sweep().attributes_told == 0
    with system_scope("tests"):
        AttributeUpdate.objects.update(held_until=timezone.now() - timedelta(seconds=1))
    with committing():
        assert sweep().attributes_told == 1
    assert (_found(api, tenant, tags=["new"]), _pending()) == (1, 0)


def test_change_that_comes_while_another_is_told_is_the_last_word(
    api: CommittingClient, tenant: Tenant, file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell, told = retrieval.set_file_attributes, []

    def overtaken(organization_id: str, file_id: str, words: Any) -> None:
        told.append(words.tags)
        if len(told) == 1:
            with tenant.scope():
                update_file(file, tags=["second"])
                assert attributes.tell_index(organization_id, file_id) is False  # one at a time
        tell(organization_id, file_id, words)

    monkeypatch.setattr(retrieval, "set_file_attributes", overtaken)
    api.put(_url(tenant, file), {"tags": ["first"]}, format="json")
    assert told == [("first",), ("second",)]
    assert (_found(api, tenant, tags=["second"]), _found(api, tenant, tags=["first"])) == (1, 0)
    assert _pending() == 0


def test_change_that_comes_while_the_file_is_indexed_is_not_lost(
    api: CommittingClient,
    tenant: Tenant,
    upload: Upload,
    run_workers: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = upload("heron.txt", TEXT, "text/plain", tags=["old"])
    complete = leases.complete

    def changed_before(*args: Any, **kwargs: Any) -> None:
        with tenant.scope():
            update_file(file, tags=["new"])
        complete(*args, **kwargs)

    monkeypatch.setattr(leases, "complete", changed_before)
    run_workers()
    assert (_found(api, tenant, tags=["new"]), _found(api, tenant, tags=["old"])) == (1, 0)
    assert _pending() == 0
