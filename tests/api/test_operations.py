"""Every operation of every dialect, called by everybody with anything: never a 5xx, always an answer that the
OpenAPI document tells, in its form.

Schemathesis makes the calls of the document itself: what it allows, and what it does not. ``SCHEMA_EXAMPLES`` says how
many of each (``make test-schemas``: many); on the full stack, where no more differs than the database, one is enough.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, connection, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis import checks as schemathesis_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Err

from apps.accounts.models import User
from apps.api.common.casing import camel_case
from apps.api.dialects import DIALECTS, Dialect
from apps.orgs.roles import Role
from tests.conftest import CommittingClient, Tenant

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "3" if connection.vendor == "sqlite" else "1"))
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES < 10,
    database=None,
    phases=[Phase.generate] if EXAMPLES < 10 else [Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
CHECKS = [
    schemathesis_checks.not_a_server_error,
    schemathesis_checks.status_code_conformance,
    schemathesis_checks.content_type_conformance,
    schemathesis_checks.response_headers_conformance,
    schemathesis_checks.response_schema_conformance,
    schemathesis_checks.negative_data_rejection,
]


# What the document does not allow is refused, with whichever status that says so: a 413 too.
CONFIG = SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}}})


@cache
def schema(dialect_name: str) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_wsgi(
        f"/schema/{dialect_name}.json", get_wsgi_application(), config=CONFIG
    )


def operations(dialect: Dialect) -> list[APIOperation]:
    """Raises InvalidSchema for one that is not well told."""
    found = []
    for result in schema(dialect.name).get_all_operations():
        if isinstance(result, Err):
            raise result.err()
        found.append(result.ok())
    return found


@pytest.fixture(autouse=True)
def _one_connection() -> Iterator[None]:
    """As in Django's own test client: a request ends, and the test's transaction goes on."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def callers(
    arguments: dict[str, str],  # before there are other keys than the owner's
    tenant: Tenant,
    stranger: Tenant,
    make_member: Callable[..., tuple[User, CommittingClient]],
) -> dict[str, dict[str, str]]:
    """The headers that each sends."""
    secrets = {Role.OWNER: f"Bearer {tenant.secret}", "stranger": f"Bearer {stranger.secret}"}
    for role in (Role.ADMIN, Role.EDITOR, Role.VIEWER):
        _, client = make_member(role)
        secrets[role] = client._credentials["HTTP_AUTHORIZATION"]  # type: ignore[attr-defined]  # DRF's own
    return {str(name): {"Authorization": secret} for name, secret in secrets.items()} | {"no key": {}}


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_every_operation_answers_everybody_as_its_document_tells(
    dialect: Dialect, arguments: dict[str, str], callers: dict[str, dict[str, str]]
) -> None:
    there = {camel_case(name): value for name, value in arguments.items()}
    found = operations(dialect)
    assert len(found) > 20
    for operation in found:
        real = {parameter.name: there[parameter.name] for parameter in operation.path_parameters}
        call_with_anything(operation, callers, path_parameters=real)


def call_with_anything(
    operation: APIOperation, callers: dict[str, dict[str, str]], *, path_parameters: dict[str, str]
) -> None:
    """With ids of things that are there, and then with any. Each call finds everything as it was."""

    def send(case: Case) -> None:
        for caller, headers in callers.items():
            try:
                with transaction.atomic():
                    case.call_and_validate(headers=headers, checks=CHECKS)
                    transaction.set_rollback(True)
            except BaseException as error:
                error.add_note(f"{case.method} {case.formatted_path} as {caller}")
                raise

    for mode in GenerationMode:
        fuzz(send, operation.as_strategy(mode, path_parameters=path_parameters or None))
    if path_parameters:
        fuzz(send, operation.as_strategy(GenerationMode.POSITIVE))


def fuzz(send: Callable[[Case], None], cases: st.SearchStrategy[Case]) -> None:
    with suppress(Unsatisfiable):  # nothing about this operation can be wrong
        FUZZ(given(cases)(send))()
