"""The API for people: pages with forms that make real things."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

from django.core.mail import EmailMessage
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from lxml.html import document_fromstring

from apps.accounts.models import User
from apps.etl.models import EtlConfig
from apps.knowledge.models import File, KnowledgeBase
from apps.orgs.models import ApiKey, Organization
from apps.orgs.roles import Ability, Role
from apps.orgs.scope import system_scope
from tests.api.html_forms import HTML, hrefs
from tests.conftest import Answer, CommittingClient, Tenant, committing


def page(client: Client, url: str, status: int = 200) -> str:
    answer = client.get(url)
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"].startswith("text/html")
    return answer.content.decode()


def submit(client: Client, url: str, fields: dict[str, Any]) -> Answer:
    """Fill in the page's own HTML form and send it the way a browser does: with its CSRF token, and with
    what the page had put into the fields that nobody touches.

    Fields that the form does not have fail the test.
    """
    forms = document_fromstring(client.get(url).content).xpath("//*[@id='post-object-form']//form")
    assert forms, f"There is no form on {url}."
    filled = {name: value for name, value in forms[0].fields.items() if value is not None}
    assert set(fields) <= set(forms[0].fields), set(forms[0].fields)
    with committing():
        return client.post(url, filled | fields)


def test_forms_take_a_person_from_nothing_to_a_search(browser: Client, tenant: Tenant) -> None:
    made = submit(browser, "/orgs", {"name": "By hand"})
    assert made.status_code == 201, made.content
    organization = Organization.objects.get(name="By hand")
    url = f"/orgs/{organization.pk}/knowledgebases"
    fields = {"title": "Shelf", "llmDescription": "Books.", "type": "ORGANIZATION"}
    assert submit(browser, url, fields).status_code == 201
    with system_scope("test"):
        shelf = KnowledgeBase.objects.get(title="Shelf")
    assert shelf.creator_id == tenant.owner.pk
    upload = submit(
        browser,
        f"{url}/{shelf.pk}/files/upload-url",
        {
            "fileName": "a.txt",
            "contentType": "text/plain",
            "embeddingMode": "TEXT",
            "tags": "red, blue",
            "metadata": '{"year": 2026}',
        },
    )
    assert upload.status_code == 200, upload.content
    with system_scope("test"):
        file = File.objects.get(knowledge_base=shelf)
    assert (file.tags, file.metadata) == (["red", "blue"], {"year": 2026})
    assert 'id="upload"' in upload.content.decode()  # and the page offers to send the bytes
    found = submit(browser, f"{url}/{shelf.pk}/search", {"query": "anything", "limit": "3", "tags": "red"})
    assert found.status_code == 200, found.content


def test_fields_of_a_form_that_nobody_touched_say_nothing(
    browser: Client, tenant: Tenant, ingest: Callable[..., File]
) -> None:
    fields = {"fileName": "a.txt", "contentType": "text/plain"}
    assert submit(browser, f"{tenant.library_url}/files/upload-url", fields).status_code == 200
    with system_scope("test"):
        assert File.objects.get(knowledge_base=tenant.library).tags == []
    ingest("lamp.txt", b"The lens is cleaned with vinegar and a linen cloth.", "text/plain")
    found = submit(browser, f"{tenant.library_url}/search", {"query": "cleaning the lens"})
    assert "vinegar" in found.content.decode()


def test_pages_lead_from_the_organizations_to_a_file(
    browser: Client, tenant: Tenant, waiting_file: File
) -> None:
    path, html = "/orgs", page(browser, "/orgs")
    for title in (tenant.organization.name, "Knowledge bases", "Library", "Files", waiting_file.file_name):
        path = hrefs(html)[title]
        html = page(browser, path)
    assert path == f"{tenant.library_url}/files/{waiting_file.pk}"
    assert hrefs(html)["Events"] == f"{path}/events"
    made = submit(browser, "/orgs", {"name": "<b>By hand"}).content.decode()
    assert page(browser, hrefs(made)["<b>By hand"])
    more = page(browser, "/orgs?limit=1&orderBy=name")
    assert hrefs(more)["More…"] == "?limit=1&orderBy=name&cursor=1"


def test_page_of_a_post_shows_its_form_and_not_the_refused_get(browser: Client, tenant: Tenant) -> None:
    hidden = ".response-info { display: none; }"
    assert hidden in page(browser, f"{tenant.library_url}/search", 405)
    assert hidden not in page(browser, tenant.library_url)
    answer = submit(browser, f"{tenant.library_url}/search", {"query": " "})
    assert (answer.status_code, hidden in answer.content.decode()) == (400, False)


def test_forms_name_fields_as_the_api_does(browser: Client, tenant: Tenant) -> None:
    html = page(browser, f"{tenant.url}/knowledgebases")
    labels = [label.text_content().strip() for label in document_fromstring(html).xpath("//form//label")]
    assert {"title", "llmDescription", "type"} <= set(labels)


def test_refused_form_keeps_what_was_typed_and_says_what_is_wrong(browser: Client, tenant: Tenant) -> None:
    url = f"{tenant.url}/knowledgebases"
    answer = submit(browser, url, {"title": "Kept title", "llmDescription": "", "type": "ORGANIZATION"})
    html = answer.content.decode()
    assert answer.status_code == 400
    assert 'value="Kept title"' in html
    assert "This field may not be blank." in html
    bad = {"fileName": "a.txt", "contentType": "text/plain", "metadata": "{", "tags": "x"}
    refused = submit(browser, f"{tenant.library_url}/files/upload-url", bad)
    assert refused.status_code == 400
    assert 'value="x"' in refused.content.decode()


def test_form_without_its_token_makes_nothing(browser: Client, tenant: Tenant) -> None:
    answer = browser.post("/orgs", {"name": "Forged"})
    assert answer.status_code == 403
    assert not Organization.objects.filter(name="Forged").exists()


def test_pages_have_titles_and_breadcrumbs(browser: Client, tenant: Tenant, waiting_file: File) -> None:
    html = page(browser, f"{tenant.library_url}/files/{waiting_file.pk}/events")
    assert "<title>Events – Commonplace</title>" in html
    crumbs = re.search(r'<ul class="breadcrumb">(.*?)</ul>', html, re.S)
    assert crumbs
    assert [unescape(name) for name in re.findall(r">([^<>\n]+)</a>", crumbs[1])] == [
        "Organizations",
        "Organization",
        "Knowledge bases",
        "Knowledge base",
        "Files",
        "File",
        "Events",
    ]


def test_every_page_below_an_organization_renders(
    browser: Client, tenant: Tenant, waiting_file: File
) -> None:
    for url in (
        "/orgs",
        tenant.url,
        f"{tenant.url}/knowledgebases",
        tenant.library_url,
        f"{tenant.library_url}/files",
        f"{tenant.library_url}/files/{waiting_file.pk}",
    ):
        assert "Commonplace" in page(browser, url)
    for url in (f"{tenant.library_url}/search", f"{tenant.library_url}/files/upload-url"):
        assert 'id="post-object-form"' in page(browser, url, 405)


def test_put_form_starts_from_what_is_there(browser: Client, tenant: Tenant) -> None:
    html = page(browser, tenant.library_url)
    form = re.search(r'id="put-object-form">.*?</form>', html, re.S)
    assert form
    assert 'value="Library"' in form[0]


def test_error_pages_render_with_their_forms(browser: Client, tenant: Tenant) -> None:
    """The form of a PUT reads the row while the page is rendered, and the tenant scope must be open then."""
    browser.handler.enforce_csrf_checks = False
    answer = browser.patch(tenant.library_url)
    assert answer.status_code == 405
    assert 'value="Library"' in answer.content.decode()
    page(browser, f"{tenant.url}/knowledgebases/kb-unknown", 404)
    page(browser, f"{tenant.library_url}/files/file-unknown", 404)


def test_put_form_changes_things_with_its_token(browser: Client, tenant: Tenant) -> None:
    """As ajax-form.js sends it: multipart, the token in a header, an unchecked box not at all."""
    token = re.search(r'"csrfToken": "([^"]+)"', page(browser, tenant.library_url))
    assert token
    for fields, is_public in (({"isPublic": "true"}, True), ({}, False)):
        body = encode_multipart(BOUNDARY, {"title": "Shelf", "llmDescription": "Books."} | fields)
        answer = browser.put(
            tenant.library_url, body, content_type=MULTIPART_CONTENT, headers={"x-csrftoken": token[1]}
        )
        assert answer.status_code == 200, answer.content
        with system_scope("test"):
            library = KnowledgeBase.objects.get(pk=tenant.library.pk)
        assert (library.title, library.is_public) == ("Shelf", is_public)


def test_etl_is_made_tried_and_changed_by_clicking(
    browser: Client, tenant: Tenant, etl: EtlConfig, waiting_file: File
) -> None:
    url = f"{tenant.library_url}/etls"
    title = "Summarizer: tags CONTAINS no file has it"
    assert hrefs(page(browser, url))[title] == f"{url}/{etl.pk}"
    conditions = '[{"field": "fileName", "comparison": "ENDS_WITH", "value": ".txt"}]'
    fields = {"etlType": "agent", "agentId": etl.agent_id, "conditions": conditions}
    made = submit(browser, url, fields)
    assert made.status_code == 201, made.content
    with tenant.scope():
        mine = EtlConfig.objects.exclude(pk=etl.pk).get()
    assert mine.is_enabled and mine.conditions[0]["value"] == ".txt"
    links = hrefs(page(browser, f"{url}/{mine.pk}"))
    assert {"Runs", "Run by hand", "Test", "Events"} <= set(links)
    for title in ("Runs", "Events"):
        assert "Commonplace" in page(browser, links[title])
    assert waiting_file.pk in submit(browser, links["Test"], {}).content.decode()
    assert submit(browser, links["Run by hand"], {"fileId": waiting_file.pk}).status_code == 202
    refused = submit(browser, url, fields | {"conditions": "status is READY"})
    assert refused.status_code == 400
    assert "A list of conditions is expected." in refused.content.decode()


def test_deleting_answers_a_page_too(browser: Client, tenant: Tenant, waiting_file: File) -> None:
    browser.handler.enforce_csrf_checks = False
    answer = browser.delete(f"{tenant.library_url}/files/{waiting_file.pk}")
    assert answer.status_code == 200
    assert "File deleted" in answer.content.decode()
    assert browser.delete(tenant.url).status_code == 200


def test_viewer_sees_no_forms(
    make_member: Callable[..., tuple[User, CommittingClient]], tenant: Tenant
) -> None:
    viewer, _ = make_member(Role.VIEWER)
    client = Client(headers=HTML)
    client.force_login(viewer)
    html = page(client, f"{tenant.url}/knowledgebases")
    assert "post-object-form" not in html
    assert 'id="put-object-form"' not in page(client, tenant.library_url)


def test_stranger_at_a_browser_gets_a_page_that_tells_nothing(tenant: Tenant, stranger: Tenant) -> None:
    client = Client(headers=HTML)
    client.force_login(stranger.owner)
    html = page(client, tenant.library_url, 404)
    assert "Library" not in html
    assert "post-object-form" not in html


def test_person_signs_in_and_out(tenant: Tenant) -> None:
    client = Client(headers=HTML)
    assert client.get("/").headers["Location"] == "/login/?next=/"
    assert "/login/?next=/orgs" in page(client, "/orgs", 401)
    html = page(client, "/login/?next=/orgs")
    assert "<title>Log in – Commonplace</title>" in html
    wrong = client.post("/login/", {"username": tenant.owner.email, "password": "wrong", "next": "/orgs"})
    assert (wrong.status_code, "Please enter a correct" in wrong.content.decode()) == (200, True)
    right = client.post(
        "/login/",
        {"username": tenant.owner.email.upper(), "password": "correct horse battery", "next": "/orgs"},
    )
    assert (right.status_code, right.headers["Location"]) == (302, "/orgs")
    assert client.get("/").headers["Location"] == "/orgs"
    assert tenant.owner.email in page(client, "/orgs")
    assert client.post("/logout/").status_code == 302
    assert client.get("/orgs").status_code == 401


def test_login_leads_nowhere_else(tenant: Tenant) -> None:
    answer = Client().post(
        "/login/",
        {
            "username": tenant.owner.email,
            "password": "correct horse battery",
            "next": "https://evil.example/",
        },
    )
    assert answer.headers["Location"] == "/orgs"


def test_people_and_keys_are_managed_by_clicking(
    browser: Client, tenant: Tenant, stranger: Tenant, mailoutbox: list[EmailMessage]
) -> None:
    path = hrefs(page(browser, tenant.url))["Members"]
    assert submit(browser, path, {"email": stranger.owner.email, "role": "EDITOR"}).status_code == 201
    member = hrefs(page(browser, path))[stranger.owner.email]
    assert 'id="put-object-form"' in page(browser, member)
    path = hrefs(page(browser, tenant.url))["Invitations"]
    assert submit(browser, path, {"email": "grace@example.com", "role": "VIEWER"}).status_code == 201
    assert [message.to for message in mailoutbox] == [["grace@example.com"]]
    again = hrefs(page(browser, hrefs(page(browser, path))["grace@example.com"]))["Send again"]
    assert "Too many requests" in submit(browser, again, {}).content.decode()
    path = hrefs(page(browser, tenant.url))["API keys"]
    fields = {"name": "widget", "scopes": ["kb.read", "kb.search"], "knowledgeBaseIds": tenant.library.pk}
    made = submit(browser, path, fields)
    assert made.status_code == 201 and b"cp_" in made.content
    everything = submit(browser, path, {"name": "all", "scopes": list(Ability)})
    assert everything.status_code == 201, everything.content
    with tenant.scope():
        widget = ApiKey.objects.get(name="widget")
        assert (widget.knowledge_base_ids, widget.expires_at) == ([tenant.library.pk], None)
        assert ApiKey.objects.get(name="all").knowledge_base_ids is None
    rotate = hrefs(page(browser, hrefs(page(browser, path))["widget"]))["Rotate"]
    assert submit(browser, rotate, {"overlapSeconds": "60"}).status_code == 200
    transfer = hrefs(page(browser, tenant.url))["Transfer"]
    assert submit(browser, transfer, {"userId": stranger.owner.pk}).status_code == 200
    assert "member.role_changed" in page(browser, f"{tenant.url}/audit-log")
