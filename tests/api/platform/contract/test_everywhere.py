"""What holds for every call: who is let in, ids, times, errors, and the headers of the rate limit."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_django import Settings

from apps.orgs.models import Organization, Plan
from apps.orgs.rate_limits import NO_LIMIT
from apps.orgs.roles import Role
from tests.api.platform.contract.conftest import Arrive, Door, path_of
from tests.api.platform.contract.rows import ROWS
from tests.conftest import CommittingClient, Tenant

ULID = "[0-9a-hjkmnp-tv-z]{26}"
PREFIXES = {
    "organizationId": "org",
    "userId": "user",
    "creatorUserId": "user",
    "actorUserId": "user",
    "actsForUserId": "user",
    "knowledgeBaseId": "kb",
    "fileId": "file",
    "agentId": "agent",
    "actionChainId": "chain",
    "etlId": "etl",
    "runId": "run",
    "documentId": "doc",
    "keyId": "key",
    "linkId": "link",
    "copyId": "copy",
    "sourceOrganizationId": "org",
    "sourceKnowledgeBaseId": "kb",
    "targetOrganizationId": "org",
    "targetKnowledgeBaseId": "kb",
    "invitedByUserId": "user",
    "apiKeyId": "key",
    "invitationId": "invite",
}
RFC3339_Z = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
METHODS = ("get", "post", "put", "delete")


@pytest.fixture
def everything(acme: Door, ingest: Arrive, run_workers: Callable[[], int]) -> list[Any]:
    """What each kind of thing looks like, with what is told of its history."""
    file = ingest(createDownloadLink=True)
    agent = acme.post("/agents", {"name": "Librarian"}, status=201)
    etl = acme.post(f"{acme.library}/etls", {"etlType": "agent", "agentId": agent["agentId"]}, status=201)
    key = acme.post("/api-keys", {"name": "x", "expiresAt": "2126-01-01T00:00:00+01:00"}, status=201)
    steps = [{"kind": "create-document", "parameters": {"title": "x", "content": "{{file.createdAt}}"}}]
    chain = acme.post("/action-chains", {"name": "x", "steps": steps}, status=201)
    acme.post(f"/action-chains/{chain['actionChainId']}/run", {"fileId": file["fileId"]}, status=202)
    acme.post(f"{path_of(file)}/reindex")
    acme.post(f"{path_of(file)}/download-link", {"expiresInDays": 1})
    target = {"targetOrganizationId": file["organizationId"]}
    acme.post(f"{acme.library}/copy-to", target, status=202)
    acme.post("/invitations", {"email": "grace@example.com", "role": "VIEWER"}, status=201)
    run_workers()
    lists = ("", "/members", "/invitations", "/api-keys", "/audit-log", "/agents", "/action-chains", "/runs")
    below = ("/files", "/copies", "/etls", f"/etls/{etl['etlId']}/events", f"/etls/{etl['etlId']}/runs")
    of_file = ("", "/events", "/download-links", "/download-link")
    told = [
        acme.get(f"{path}?limit=100" if path else "") for path in (*lists, "/documents", "/knowledgebases")
    ]
    told += [acme.get(f"{acme.library}{path}") for path in below]
    told += [acme.get(f"{path_of(file)}{path}") for path in of_file[:3]]
    return [*told, acme.post(f"{path_of(file)}/download-link"), key, acme.get("/usage")]


def values(told: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value there is, however deep, with the name of its field."""
    if isinstance(told, dict):
        for key, value in told.items():
            yield from values(value, key)
    elif isinstance(told, list):
        for value in told:
            yield from values(value, name)
    else:
        yield name, told


def test_ids_say_what_they_are_of(everything: list[Any]) -> None:
    """“Ids are opaque strings with a readable prefix”: `org-`, `user-`, `kb-`, `file-`, `vec-`, `agent-`, `chain-`,
    `etl-`, `run-`, `doc-`, `key-`."""
    seen = set()
    for name, value in values(everything):
        if value is None or name not in PREFIXES:
            continue
        assert re.fullmatch(f"{PREFIXES[name]}-{ULID}", value), (name, value)
        seen.add(name)
    assert seen == set(PREFIXES)


def test_times_are_utc_with_z(everything: list[Any]) -> None:
    """“Timestamps are RFC 3339 UTC with Z”, in payloads of events too."""
    times = 0
    for name, value in values(everything):
        if isinstance(value, str) and (name.endswith("At") or re.match(r"\d{4}-\d\d-\d\dT", value)):
            assert RFC3339_Z.fullmatch(value), (name, value)
            times += 1
    assert times > 50
    [key] = [it for it in everything if "secret" in it]
    assert key["expiresAt"] == "2125-12-31T23:00:00Z"


def test_stranger_is_answered_as_if_nothing_were_there(acme: Door, elsewhere: Door) -> None:
    """A key never reaches another organization: “the answer is 404, the same as for an id that does not exist”."""
    for calls in ROWS.values():
        for call in calls:
            method, _, path = call.partition(" ")
            if path == "/orgs":
                continue
            ids = ["kb-0", "file-0"] if "knowledgebases" in path else ["x-0"]
            theirs = path.format(acme.url.removeprefix("/orgs/"), *ids, *ids)
            nowhere = path.format("org-00000000000000000000000000", *ids, *ids)
            assert elsewhere.call(method, theirs, {}, status=404) == elsewhere.call(
                method, nowhere, {}, status=404
            )


def test_errors_have_one_envelope(
    acme: Door, elsewhere: Door, anonymous: CommittingClient, make_member: Any, settings: Settings
) -> None:
    """“Errors keep each dialect's own envelope, for every status: 400, 401, 403, 404, 405, 409, 413, 415, 429, 500”."""
    _, client = make_member(Role.VIEWER)
    url, too_large = acme.url, {"name": "x" * settings.MAX_REQUEST_BYTES}
    acme.client.raise_request_exception = False
    answers = {
        400: acme.client.post("/orgs", {}, format="json"),
        401: anonymous.get(url),
        403: client.put(url, {"name": "x"}, format="json"),
        404: elsewhere.client.get(url),
        405: acme.client.patch(url, {}, format="json"),
        406: acme.client.get(url, headers={"accept": "image/png"}),
        409: acme.client.delete(acme.library),
        413: acme.client.post("/orgs", too_large, format="json"),
        415: acme.client.post("/orgs", "name=x", content_type="text/csv"),
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("apps.api.platform.views.usage.usage_report", None)
        answers[500] = acme.client.get(f"{url}/usage")
    on_plan(acme, requests_per_minute=1)
    acme.client.get(url)
    answers[429] = acme.client.get(url)
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/json", status
        error = answer.json()["error"]
        assert set(answer.json()) == {"error"} and {"code", "message"} <= set(error) <= {
            "code",
            "message",
            "fields",
        }
        assert ("fields" in error) == (status == 400)
        assert "Traceback" not in error["message"] and "<" not in error["message"]
        assert all(name in answer.headers for name in HEADERS), status
    assert 1 <= int(answers[429].headers["Retry-After"]) <= 60
    assert "GET" in answers[405].headers["Allow"]


def test_unknown_fields_are_ignored_and_wrong_types_named(acme: Door) -> None:
    """“Unknown request fields are ignored; wrong types are a 400 that names the field”."""
    right: dict[str, dict[str, object]] = {
        "/knowledgebases": {"title": "a", "llmDescription": "b", "type": "ORGANIZATION"},
        "/agents": {"name": "a", "instructions": "b", "tools": [], "knowledgeBaseIds": []},
        "/api-keys": {"name": "a"},
        "/documents": {"title": "a", "content": "b"},
        f"{acme.library}/files/upload-url": {
            "fileName": "a.txt",
            "contentType": "text/plain",
            "tags": [],
            "metadata": {},
        },
    }
    for path, body in right.items():
        known = acme.client.post(
            path if path.startswith("/orgs") else acme.url + path, body | {"colour": {"is": 1}}, format="json"
        )
        assert known.status_code in {200, 201}, (path, known.content)
        for name, value in body.items():
            for wrong in ({"is": "wrong"} if name != "metadata" else "wrong", 7, True):
                error = acme.post(path, body | {name: wrong}, status=400)["error"]
                assert name in error["fields"], (path, name, wrong, value)


def on_plan(door: Door, **limits: int | None) -> None:
    Plan.objects.update_or_create(name="tested", defaults=limits)
    Organization.objects.filter(pk=door.url.removeprefix("/orgs/")).update(plan="tested")


@pytest.mark.parametrize(
    ("plan", "limit"),
    [
        ("pro", 20),
        ("team", 60),
        ("standard", 100),
        ("premium", 500),
        ("enterprise", 2000),
        ("local", NO_LIMIT),
    ],
)
def test_every_answer_tells_the_plans_tightest_window(
    acme: Door, tenant: Tenant, plan: str, limit: int
) -> None:
    """“every response carries X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset”: “pro 20/min 200/h
    2,000/day; team 60/min 600/h 5,000/day; standard 100/min; premium 500/min; enterprise 2,000/min;
    and local (no limit)”."""
    Organization.objects.filter(pk=tenant.organization.pk).update(plan=plan)
    answers = [
        acme.client.get(acme.url),
        acme.client.post(f"{acme.url}/agents", {}, format="json"),
        acme.client.delete(acme.library),
        acme.client.get(f"{acme.url}/knowledgebases/kb-none"),
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 409, 404]
    told = [tuple(int(answer.headers[name]) for name in HEADERS[:2]) for answer in answers]
    used = 0 if limit == NO_LIMIT else 1
    assert told == [(limit, limit - used * n) for n in range(1, len(answers) + 1)]
    row = Plan.objects.get(name=plan)
    assert (row.requests_per_hour, row.requests_per_day) == {"pro": (200, 2000), "team": (600, 5000)}.get(
        plan, (None, None)
    )
