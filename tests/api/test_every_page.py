"""The page of every route, found and not listed: its forms send back what they show."""

import json
from typing import Any

import pytest
from django.test import Client

from apps.agents.models import Agent
from apps.agents.services import create_agent
from apps.documents.models import Document
from apps.documents.services import save_version
from apps.orgs.access import access_to
from tests.api.html_forms import csrf_header, page, put_form, raw_content
from tests.api.test_stranger_walk import routes
from tests.conftest import CommittingClient, Tenant, committing

CHANGE_BY_THEMSELVES = {"updatedAt", "lastUsedAt"}
REFUSALS = {400, 403, 404, 409, 422, 429, 503}


@pytest.fixture
def arguments(arguments: dict[str, str], tenant: Tenant, document: Document) -> dict[str, str]:
    """The walk's, with things that have something in every field."""
    access = access_to(tenant.organization.pk, user=tenant.owner, key=None)
    with tenant.scope():
        agent = create_agent(
            access,
            name="Full",
            instructions="Line one.\r\nLine two.",
            knowledge_base_ids=[tenant.library.pk],
            tools=["read_file", "create_document"],
        )
        save_version(document, creator=tenant.owner, content="\nOld.\r\nLines.\r\n")
    return arguments | {"agent_id": agent.pk}


def state(api: CommittingClient, url: str) -> dict[str, Any]:
    answer = api.get(url)
    assert answer.status_code == 200, (url, answer.content)
    return {name: value for name, value in answer.json().items() if name not in CHANGE_BY_THEMSELVES}


def test_form_that_nobody_touched_changes_nothing(
    browser: Client, api: CommittingClient, arguments: dict[str, str]
) -> None:
    """Of every route that takes a PUT; once as the form, once as the raw data."""
    sent = 0
    for route in routes():
        url = route.url(arguments)
        document = page(browser, url)
        if (raw := raw_content(document, "PUT")) is None:
            assert "PUT" not in api.options(url).headers["Allow"], url
            continue
        before = state(api, url)
        answer = put_form(browser, url, document)
        assert answer.status_code == 200, (url, answer.content)
        assert state(api, url) == before
        with committing():
            again = browser.put(url, raw, content_type="application/json", headers=csrf_header(document))
        assert again.status_code == 200, (url, again.content)
        assert state(api, url) == before
        sent += 1
    assert sent >= 7


def test_raw_data_of_every_post_is_a_body_that_the_api_understands(
    browser: Client, arguments: dict[str, str]
) -> None:
    """What it names need not be there; what it is made of must be right."""
    sent = 0
    for route in routes():
        url = route.url(arguments)
        document = page(browser, url)
        if (raw := raw_content(document, "POST")) is None:
            continue
        with committing():
            answer = browser.post(
                url,
                raw,
                content_type="application/json",
                headers={"accept": "application/json"} | csrf_header(document),
            )
        assert answer.status_code < 300 or answer.status_code in REFUSALS, (url, answer.content)
        if answer.status_code == 400:  # what there is not, and not what is not understood
            assert b"There is no" in answer.content or b"token" in answer.content, (url, raw, answer.content)
        json.loads(raw)
        sent += 1
    assert sent > 20


def test_lists_of_an_agent_are_changed_and_emptied_by_its_form(
    browser: Client, tenant: Tenant, arguments: dict[str, str]
) -> None:
    url = f"{tenant.url}/agents/{arguments['agent_id']}"
    for tools in (["search_knowledge"], []):
        form = put_form(browser, url, page(browser, url), tools=["", *tools], knowledgeBaseIds=[""])
        assert form.status_code == 200, form.content
        with tenant.scope():
            agent = Agent.objects.get(pk=arguments["agent_id"])
        assert (agent.tools, agent.knowledge_base_ids) == (tools, [])


def test_title_saved_by_a_form_leaves_the_words_as_they_were(
    browser: Client, tenant: Tenant, document: Document
) -> None:
    with tenant.scope():
        save_version(document, creator=tenant.owner, content="One.\r\nTwo.\rThree.\n")
    url = f"{tenant.url}/documents/{document.pk}"
    assert put_form(browser, url, page(browser, url), title="Other").status_code == 200
    with tenant.scope():
        document.refresh_from_db()
    assert (document.title, document.content) == ("Other", "One.\r\nTwo.\rThree.\n")
    words = {"content": "One.\r\nTwo!\r\n"}
    assert put_form(browser, url, page(browser, url), **words).status_code == 200
    with tenant.scope():
        document.refresh_from_db()
    assert document.content == "One.\nTwo!\n"
