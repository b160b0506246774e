"""What no schema tells of may be sent: halves of characters, numbers that no machine holds, bytes that are no JSON.

The answer is one that the OpenAPI document tells all the same. test_operations.py sends what the document is about.
"""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_schema_validator import OAS30Validator

from apps.accounts.models import User
from apps.agents.models import ActionChain, Run
from apps.api.dialects import DIALECTS
from apps.documents.models import Document
from apps.etl.models import EtlConfig
from apps.knowledge.models import CopyJob
from apps.orgs.keys import create_api_key, find_usable_key
from apps.orgs.models import Invitation
from apps.orgs.roles import Role
from tests.conftest import CommittingClient, Tenant

PLATFORM = DIALECTS[0]
# Half of them legal, the rest what clients, attackers and bugs send.
TEXTS = st.text(max_size=12) | st.sampled_from(
    [
        "",
        " ",
        "a.txt",
        "text/plain",
        "application/pdf",
        "TEXT",
        "ORGANIZATION",
        "PERSONAL",
        "../x",
        "a\x00b",
        "\ud800",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([10**400, 2**63, -1, 0, 5])
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=6,
)
FUZZ = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
# Operations whose examples name parts, a member, a token, a target, a file, or what is to be run; and one that takes
# a session.
ELSEWHERE = (
    "/api-keys/{keyId}",
    "/complete",
    "/transfer",
    "/accept",
    "/copy-to",
    "/etls",
    "/run",
    "/test",
    "/agents",
    "/agents/{agentId}",
    "/action-chains",
    "/action-chains/{actionChainId}",
)


@cache
def document() -> dict[str, Any]:
    result: dict[str, Any] = json.loads(Client().get(f"/schema/{PLATFORM.name}.json").content)
    return result


def operations_with_body() -> list[tuple[str, str]]:
    return [
        (method, path)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
        if "requestBody" in operation
    ]


def check(answer: Any, operation: dict[str, Any], sent: object) -> None:
    """The answer is one that the document tells for this operation, in the shape that it tells."""
    responses = operation["responses"]
    assert str(answer.status_code) in responses, (answer.status_code, sent, answer.content)
    assert answer.status_code < 500, (sent, answer.content)
    schema = responses[str(answer.status_code)]["content"]["application/json"]["schema"]
    whole = schema | {"components": document()["components"]}
    OAS30Validator(whole).validate(answer.json())


@pytest.fixture
def arguments(
    tenant: Tenant,
    api: CommittingClient,
    make_member: Callable[..., tuple[User, CommittingClient]],
    invitation: Invitation,
    copy_job: CopyJob,
    etl: EtlConfig,
    chain: ActionChain,
    run: Run,
    document: Document,
) -> dict[str, str]:
    body = {"fileName": "a.txt", "contentType": "text/plain", "multipart": True}
    file = api.post(f"{tenant.library_url}/files/upload-url", body, format="json").json()
    member, _ = make_member(Role.EDITOR)
    owners = find_usable_key(tenant.secret)  # which a key must have made to rotate it
    key, _ = create_api_key(
        organization=tenant.organization, user=tenant.owner, name="another", made_by=owners
    )
    return {
        "organizationId": tenant.organization.pk,
        "knowledgeBaseId": tenant.library.pk,
        "fileId": file["fileId"],
        "userId": member.pk,
        "keyId": key.pk,
        "invitationId": invitation.pk,
        "copyId": copy_job.pk,
        "linkId": "link-unknown",
        "etlId": etl.pk,
        "agentId": run.agent_id,
        "actionChainId": chain.pk,
        "runId": run.pk,
        "documentId": document.pk,
    }


def test_no_body_makes_it_stumble(api: CommittingClient, arguments: dict[str, str]) -> None:
    found = operations_with_body()
    assert len(found) >= 9
    for method, path in found:
        send_bodies(api, method, path, path.format(**arguments))


def send_bodies(api: CommittingClient, method: str, path: str, url: str) -> None:
    operation = document()["paths"][path][method]
    content = operation["requestBody"]["content"]["application/json"]
    examples = [example["value"] for example in content["examples"].values()]
    reference = content["schema"]["$ref"]
    names = list(document()["components"]["schemas"][reference.rsplit("/")[-1]]["properties"])

    def send(body: dict[str, Any]) -> int:
        answer = api.generic(method.upper(), url, json.dumps(body), content_type="application/json")
        check(answer, operation, body)
        return int(answer.status_code)

    @FUZZ
    @given(
        changes=st.dictionaries(st.sampled_from(names) | TEXTS, VALUES, max_size=2), is_legal=st.booleans()
    )
    def send_changed(changes: dict[str, Any], is_legal: bool) -> None:
        send(examples[0] | changes if is_legal else changes)

    for example in examples:
        # The document's own examples are right; but what some of them name by its id is not here.
        assert send(example) < 300 or path.endswith(ELSEWHERE), example
    send_changed()


def test_no_bytes_make_it_stumble(api: CommittingClient, arguments: dict[str, str]) -> None:
    types = (
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        "text/html",
        "",
    )

    @FUZZ
    @given(data=st.binary(max_size=60), content_type=st.sampled_from(types))
    def send(data: bytes, content_type: str) -> None:
        # The stubs know no body of bytes.
        answer = api.generic("POST", "/orgs", data, content_type=content_type)  # type: ignore[arg-type]  # bytes
        check(answer, document()["paths"]["/orgs"]["post"], (data, content_type))

    send()
