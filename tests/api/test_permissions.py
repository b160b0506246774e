"""Every call of every dialect, made by every role and by keys of every scope.

What was allowed is the table in docs/permissions.md; ``make permissions`` writes it anew.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.api.dialects import DIALECTS
from apps.knowledge.models import File
from apps.orgs.keys import create_api_key
from apps.orgs.models import Invitation, Membership
from apps.orgs.roles import ABILITIES, KNOWLEDGE_BASE_ABILITIES, Ability, Role
from tests.conftest import Tenant

pytestmark = pytest.mark.topology("embedded")  # nothing here depends on it
PAGE = Path(__file__).resolve().parents[2] / "docs" / "permissions.md"


class Arguments(dict[str, str]):
    """What paths name. A call is refused before anybody looks whether there is such a thing: most need not exist."""

    def __missing__(self, name: str) -> str:
        return "unknown"


@dataclass(frozen=True)
class Call:
    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Caller:
    """A client, and the id of a key of its user's own."""

    client: APIClient
    key_id: str


# What no key may do, and the verb that a session takes.
BY_SESSION = {Call("PUT", "/orgs/{organizationId}/api-keys/{keyId}"): {Ability.KEYS_OWN}}
Walk = Callable[[Caller], set[Call]]


def calls() -> Iterator[Call]:
    """The operations of every dialect's document: what is not in one is no address (tests/api/test_schema.py)."""
    for dialect in DIALECTS:
        document = Client().get(f"/schema/{dialect.name}.json").json()
        for path, operations in document["paths"].items():
            if path != "/invitations/accept":  # open to whoever has the token
                yield from (Call(method.upper(), path) for method in operations)


@pytest.fixture
def walk(tenant: Tenant, waiting_file: File, invitation: Invitation) -> Walk:
    """Make every call, undo what it did, and tell which were allowed: whatever else may be wrong with them."""
    member = User.objects.create_user("member@example.com", "correct horse battery")
    with tenant.scope():
        Membership.objects.create(organization=tenant.organization, user=member, role=Role.VIEWER)
    arguments = Arguments(
        organizationId=tenant.organization.pk,
        knowledgeBaseId=tenant.library.pk,
        fileId=waiting_file.pk,
        userId=member.pk,
        invitationId=invitation.pk,
    )

    def is_allowed(caller: Caller, call: Call) -> bool:
        url = call.path.format_map(Arguments(arguments, keyId=caller.key_id))
        with transaction.atomic():
            answer = caller.client.generic(call.method, url, "{}", content_type="application/json")
            transaction.set_rollback(True)
        assert answer.status_code not in {401, 405, 500}, (call, answer.content)
        return bool(answer.status_code != 403)

    everything = list(calls())
    return lambda caller: {call for call in everything if is_allowed(caller, call)}


@pytest.fixture
def as_role(tenant: Tenant) -> Callable[[Role], Caller]:
    def make(role: Role) -> Caller:
        user = User.objects.create_user(f"{role}@example.com", "correct horse battery")
        with tenant.scope():
            Membership.objects.create(organization=tenant.organization, user=user, role=role)
        key, _ = create_api_key(organization=tenant.organization, user=user, name="theirs")
        client = APIClient()
        client.force_login(user)
        return Caller(client, key.pk)

    return make


@pytest.fixture
def with_scopes(tenant: Tenant) -> Callable[..., Caller]:
    def make(*scopes: Ability, **bounds: Any) -> Caller:
        key, secret = create_api_key(
            organization=tenant.organization, user=tenant.owner, name="k", scopes=scopes, **bounds
        )
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return Caller(client, key.pk)

    return make


@pytest.fixture
def openers(walk: Walk, with_scopes: Callable[..., Caller]) -> dict[Call, set[Ability]]:
    """By which scopes each call is opened: all of them where it asks for none, and none where it takes a session.

    Found with few keys instead of one for each scope: two for each bit of a scope's number, of which one has the
    scopes with that bit and one those without. Only a call that takes exactly one scope is opened by one key of
    every pair; one that any of two would open is opened by both keys of some pair, and one that takes two by none.
    """
    numbered = list(enumerate(Ability, start=1))
    found: dict[Call, set[Ability]] = {call: set(Ability) for call in calls()}
    opened_by_both, opened = set(found), set[Call]()
    for bit in range(len(numbered).bit_length()):
        having = {scope for number, scope in numbered if number >> bit & 1}
        by_these, by_others = walk(with_scopes(*having)), walk(with_scopes(*set(Ability) - having))
        opened_by_both &= by_these & by_others
        opened |= by_these | by_others
        for call, scopes in found.items():
            if (call in by_these) != (call in by_others):
                scopes &= having if call in by_these else set(Ability) - having
            elif call not in by_these:
                scopes.clear()
    for call, scopes in found.items():
        assert len(scopes) == 1 or call in opened_by_both or call not in opened, (call, scopes)
    return found


def test_roles_and_scopes_open_the_calls_that_the_page_says(
    walk: Walk, as_role: Callable[[Role], Caller], openers: dict[Call, set[Ability]]
) -> None:
    assert len(openers) > 25
    by_role = {role: walk(as_role(role)) for role in Role}
    rows = []
    for call, scopes in openers.items():
        allowed = {role for role in Role if call in by_role[role]}
        verbs = scopes or BY_SESSION.get(call, set())
        if "{organizationId}" in call.path:
            [verb] = verbs
            assert allowed == {role for role in Role if verb in ABILITIES[role]}, call
        else:
            assert allowed == set(Role), call
        told = f"`{next(iter(verbs))}`" if len(verbs) == 1 else "none"
        rows.append((call, told if scopes else f"{told}, in a session", allowed))
    page = render(rows)
    if os.environ.get("WRITE_PERMISSIONS"):
        PAGE.write_text(page)
    assert PAGE.read_text() == page, "docs/permissions.md is stale: make permissions"


def test_bound_key_gets_no_further_than_a_knowledge_base(
    walk: Walk, with_scopes: Callable[..., Caller], tenant: Tenant
) -> None:
    """Not even one with every scope, which the API gives nobody."""
    unbound = walk(with_scopes(*KNOWLEDGE_BASE_ABILITIES))
    bound = walk(with_scopes(*Ability, knowledge_base_ids=[tenant.library.pk]))
    assert bound == unbound
    assert all("/knowledgebases" in call.path for call in bound if "{organizationId}" in call.path)


PAGE_TEXT = """\
# Who may do what

Written by a test (`make permissions`) that makes every call as every role, and with keys of every scope. The table of
verbs is `apps/orgs/roles.py`.

A member has the verbs of their role. An API key has those of its scopes, and never one that its user does not have. A
key that is bound to knowledge bases reaches these alone, with the verbs ticked in the last column. Members of other
organizations have `kb.read`, `kb.search` and `files.read` in a knowledge base that is public. A call that is not
allowed is a 403; what is in another organization, or beyond a key's bounds, a 404. A key that is made without
`scopes` has no `members.manage`, `owners.manage` and `org.delete`: these are to be named.

## Verbs

| verb | what it allows | {roles} | bound keys |
| --- | --- | {dashes} | :-: |
{verbs}

## Calls

`DELETE …/members/{{userId}}` of oneself, which is leaving, takes `org.leave` and no more. Making and unmaking an OWNER
takes `owners.manage` besides what the call itself takes, and changing `isPublic` takes `kb.publish`. Of API keys
everybody sees and revokes their own, and whoever has `keys.manage` besides, everybody's; they are changed in a session
alone. A copy takes in the target what making it there takes. What names a file, or tells of files, as trying an ETL
does, takes `files.read` besides. `GET /orgs` and `POST /orgs` are open to every account; the verb is what a key needs.

| call | verb | {roles} |
| --- | --- | {dashes} |
{calls}
"""


def render(rows: list[tuple[Call, str, set[Role]]]) -> str:
    def ticks(allowed: set[Role]) -> str:
        return " | ".join("✓" if role in allowed else " " for role in Role)

    def who_has(ability: Ability) -> str:
        bound = "✓" if ability in KNOWLEDGE_BASE_ABILITIES else " "
        return f"{ticks({role for role in Role if ability in ABILITIES[role]})} | {bound}"

    return PAGE_TEXT.format(
        roles=" | ".join(Role.values),
        dashes=" | ".join(":-:" for _ in Role),
        verbs="\n".join(f"| `{ability}` | {ability.label} | {who_has(ability)} |" for ability in Ability),
        calls="\n".join(f"| `{call}` | {verb} | {ticks(allowed)} |" for call, verb, allowed in rows),
    )
