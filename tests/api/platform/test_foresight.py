"""Questions that the model begins to read before it is known whether they may be asked."""

import json
from collections.abc import Collection, Iterator
from typing import Any

import pytest

from apps.api.common import authentication
from apps.knowledge import foresight
from apps.orgs.keys import find_usable_key, revoke_key
from apps.orgs.models import ApiKey
from apps.retrieval import services as retrieval
from tests.conftest import CommittingClient, Tenant, Upload

Steps = list[str]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Steps]:
    """What is done, in this order: "key" is looked for, and each text is "read"."""
    done: Steps = []
    begin = retrieval.begin_query

    def note_text(query: str, models: Collection[str]) -> None:
        done.append(query)
        begin(query, models)

    def note_key(secret: str) -> ApiKey | None:
        done.append("key")
        return find_usable_key(secret)

    monkeypatch.setattr(retrieval, "begin_query", note_text)
    monkeypatch.setattr(authentication, "find_usable_key", note_key)
    foresight._models.clear()
    yield done
    foresight._models.clear()


def _search(api: CommittingClient, tenant: Tenant, body: Any) -> Any:
    return api.post(f"{tenant.library_url}/search", json.dumps(body), content_type="application/json")


def test_next_question_is_read_while_the_key_is_looked_for(
    api: CommittingClient, tenant: Tenant, ingest: Upload, steps: Steps
) -> None:
    ingest("pump.txt", b"The pump is painted green.", "text/plain")
    del steps[:]
    (first,) = _search(api, tenant, {"query": "pump"}).json()["results"]
    assert steps == ["key", "pump"]
    del steps[:]
    (again,) = _search(api, tenant, {"query": "  green pump "}).json()["results"]
    assert steps == ["green pump", "key", "green pump"]
    assert again["vectorId"] == first["vectorId"]


def test_refused_caller_has_one_question_read_and_no_more(
    api: CommittingClient, tenant: Tenant, steps: Steps
) -> None:
    assert _search(api, tenant, {"query": "pump"}).status_code == 200
    with tenant.scope():
        revoke_key(ApiKey.objects.get(user=tenant.owner))
    del steps[:]
    answers = [_search(api, tenant, {"query": f"pump {number}"}).status_code for number in range(3)]
    assert answers == [401, 401, 401]
    assert steps == ["pump 0", "key", "key", "key"]


@pytest.mark.parametrize(
    "body", [[], {}, {"query": 7}, {"query": " "}, {"query": "a\ud800"}, {"query": "a" * 4001}]
)
def test_what_is_no_question_is_refused_as_ever(
    body: Any, api: CommittingClient, tenant: Tenant, steps: Steps
) -> None:
    before = _search(api, tenant, body)
    assert _search(api, tenant, {"query": "pump"}).status_code == 200
    del steps[:]
    after = _search(api, tenant, body)
    assert (after.status_code, after.json()) == (400, before.json())
    assert steps == ["key"]


def test_form_and_other_bodies_are_read_as_ever(api: CommittingClient, tenant: Tenant, steps: Steps) -> None:
    for data, content_type, status in (
        ("query=pump&limit=3", "application/x-www-form-urlencoded", 200),
        ("{", "application/json", 400),
        ("query", "text/plain", 415),
    ):
        assert _search(api, tenant, {"query": "pump"}).status_code == 200
        answer = api.post(f"{tenant.library_url}/search", data, content_type=content_type)
        assert answer.status_code == status, answer.content
