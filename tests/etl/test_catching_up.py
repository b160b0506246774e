"""What an ETL was not run for, asked for over the API: files that were there before it, and firings refused."""

from collections.abc import Callable
from typing import Any

import pytest

from apps.agents.models import ActionChain, Run
from apps.etl import catching_up
from apps.etl.models import EtlConfig, Firing
from apps.etl.services import create_etl
from apps.events.models import Event
from apps.knowledge.models import File
from apps.orgs.access import access_to
from apps.orgs.keys import create_api_key, revoke_key
from apps.orgs.roles import Ability
from apps.orgs.scope import system_scope
from tests.conftest import CommittingClient, Tenant, Upload, client_with_key
from tests.etl.changes import APPROVED, Announce, firings, kinds, set_state
from tests.etl.conftest import PDF_AND_READY, MakeEtl

Work = Callable[[], int]


@pytest.fixture
def tagging(make_chain: Callable[..., ActionChain]) -> ActionChain:
    return make_chain(("tag", "add-tags", {"tags": ["seen"]}))


@pytest.fixture
def ask(api: CommittingClient, tenant: Tenant) -> Callable[..., Any]:
    def post(etl: EtlConfig, *, by: CommittingClient = api, **body: Any) -> Any:
        return by.post(f"{tenant.library_url}/etls/{etl.pk}/run", body, format="json")

    return post


def tags(file: File) -> list[str]:
    with system_scope("tests"):
        return list(File.objects.get(pk=file.pk).tags)


@pytest.mark.django_db(transaction=True)
def test_files_that_were_there_before_are_caught_up_with_once(
    tenant: Tenant,
    announce: Announce,
    make_etl: MakeEtl,
    tagging: ActionChain,
    ask: Callable[..., Any],
    run_workers: Work,
) -> None:
    old = [announce(f"{number}.txt") for number in range(3)]
    for file in old[:2]:
        set_state(tenant, file, "approved")
    etl = make_etl(APPROVED, action_chain_id=tagging.pk)
    new = announce("new.txt")
    set_state(tenant, new, "approved")  # for this one it fires by itself
    run_workers()
    answer = ask(etl, matching=True)
    assert answer.status_code == 202, answer.content
    assert answer.json() == {"fileIds": [old[1].pk, old[0].pk], "remaining": 0}
    run_workers()
    assert [tags(file) for file in (*old, new)] == [["seen"], ["seen"], [], ["seen"]]
    assert ask(etl, matching=True).json() == {"fileIds": [], "remaining": 0}
    assert len(firings()) == 3
    with tenant.scope():
        assert Run.objects.filter(etl_id=etl.pk).count() == 3
        by_hand = Event.objects.filter(subject_id=etl.pk, kind="etl.run").order_by("pk")
        assert [(event.payload, event.actor_id) for event in by_hand] == [
            ({"matching": 2}, tenant.owner.pk),
            ({"matching": 0}, tenant.owner.pk),
        ]


def test_so_many_are_caught_up_with_at_once_and_the_rest_is_told(
    tenant: Tenant,
    announce: Announce,
    make_etl: MakeEtl,
    ask: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(catching_up, "MAX_AT_ONCE", 2)
    for number in range(5):
        set_state(tenant, announce(f"{number}.txt"), "approved")
    etl = make_etl(APPROVED)
    answers = [ask(etl, matching=True).json() for _ in range(3)]
    assert [(len(one["fileIds"]), one["remaining"]) for one in answers] == [(2, 3), (2, 1), (1, 0)]
    assert len({file_id for one in answers for file_id in one["fileIds"]}) == 5


def test_refused_firings_are_repeated_when_the_etl_was_saved_anew(
    tenant: Tenant,
    api: CommittingClient,
    announce: Announce,
    tagging: ActionChain,
    ask: Callable[..., Any],
    run_workers: Work,
) -> None:
    key, _ = create_api_key(organization=tenant.organization, user=tenant.owner, name="short-lived")
    with tenant.scope():
        access = access_to(tenant.organization.pk, user=tenant.owner, key=key)
        said = {"etl_type": "action-chain", "action_chain_id": tagging.pk, "conditions": APPROVED}
        etl = create_etl(tenant.library, access=access, said=said)
        revoke_key(key)
    files = [announce(f"{number}.txt") for number in range(2)]
    for file in files:
        set_state(tenant, file, "approved")
    run_workers()
    url = f"{tenant.library_url}/etls/{etl.pk}"
    trials = api.post(f"{url}/test", {}, format="json").json()["items"]
    assert all(one["hasFired"] and "revoked, or has expired" in one["refusal"] for one in trials)
    assert ask(etl, matching=True).json() == {"fileIds": [], "remaining": 0}  # it did fire for them

    assert len(ask(etl, refused=True).json()["fileIds"]) == 2
    run_workers()
    assert [tags(file) for file in files] == [[], []]  # nothing is better: it is refused again
    assert kinds(etl).count("etl.refused") == 4

    api.put(url, {"isEnabled": True}, format="json")
    assert ask(etl, refused=True).json() == {"fileIds": [files[1].pk, files[0].pk], "remaining": 0}
    run_workers()
    assert [tags(file) for file in files] == [["seen"], ["seen"]]
    assert ask(etl, refused=True).json()["fileIds"] == []
    trials = api.post(f"{url}/test", {}, format="json").json()["items"]
    assert [one["refusal"] for one in trials] == [None, None]


def test_refusal_of_a_revision_that_was_replaced_is_not_repeated(
    tenant: Tenant, announce: Announce, make_etl: MakeEtl, ask: Callable[..., Any]
) -> None:
    etl = make_etl(APPROVED)
    file = announce()
    set_state(tenant, file, "approved")
    with tenant.scope():
        Firing.objects.update(error="No.")
        File.objects.filter(pk=file.pk).update(last_revision=1)
    assert ask(etl, refused=True).json() == {"fileIds": [], "remaining": 0}


def test_disabled_etl_catches_up_with_nothing(make_etl: MakeEtl, ask: Callable[..., Any]) -> None:
    etl = make_etl(APPROVED, is_enabled=False)
    answers = [ask(etl, **said) for said in ({"matching": True}, {"refused": True})]
    assert [answer.status_code for answer in answers] == [409, 409]
    assert "Enable it first" in answers[0].content.decode()


@pytest.mark.parametrize(
    "body",
    [{}, {"matching": False}, {"matching": True, "refused": True}, {"matching": True, "fileId": "file-1"}],
)
def test_one_thing_is_asked_for(make_etl: MakeEtl, ask: Callable[..., Any], body: dict[str, Any]) -> None:
    assert ask(make_etl(), **body).status_code == 400


def test_key_needs_to_read_files_to_be_told_which(
    tenant: Tenant, make_etl: MakeEtl, ask: Callable[..., Any]
) -> None:
    _, secret = create_api_key(
        organization=tenant.organization, user=tenant.owner, name="blind", scopes=[Ability.ETLS_MANAGE]
    )
    etl = make_etl()
    for said in ({"matching": True}, {"refused": True}):
        assert ask(etl, by=client_with_key(secret), **said).status_code == 403


def test_etl_that_can_fire_before_there_is_a_text_says_so(api: CommittingClient, make_etl: MakeEtl) -> None:
    early, late, silent = make_etl(APPROVED), make_etl(PDF_AND_READY), make_etl()
    url = f"/orgs/{early.organization_id}/knowledgebases/{early.knowledge_base_id}/etls"
    warned = {one["etlId"]: one["warnings"] for one in api.get(url).json()}
    assert (warned[late.pk], warned[silent.pk]) == ([], [])
    [warning] = warned[early.pk]
    assert "status EQUALS READY" in warning


def test_early_etl_does_its_work_when_the_file_is_read(
    tenant: Tenant, make_etl: MakeEtl, ingest: Upload
) -> None:
    """Its one firing comes with the announcement of the upload, and is not spent by that."""
    make_etl([{**PDF_AND_READY[0], "value": ".txt", "mergeOperator": None}])
    file = ingest("heron.txt", b"The heron waits in shallow water.", "text/plain")
    with tenant.scope():
        [run] = Run.objects.filter(file_id=file.pk)
    assert (run.status, "heron" in run.output) == ("SUCCEEDED", True), run.error
