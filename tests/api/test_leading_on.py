"""Everything is reached by clicking: links between pages, pages of lists, and what narrows them."""

import csv
import io
from collections.abc import Callable
from urllib.parse import urlsplit

from django.test import Client
from lxml.html import HtmlElement, document_fromstring

from apps.agents.models import Run
from apps.documents.models import Document
from apps.documents.services import save_version, write_document
from apps.etl.models import EtlConfig
from apps.knowledge.models import File, KnowledgeBase
from tests.api.html_forms import HTML, form_of, hrefs
from tests.api.test_browsable import submit
from tests.api.test_stranger_walk import routes
from tests.conftest import Tenant

FILE = "orgs/<id:organization_id>/knowledgebases/<id:knowledge_base_id>/files/<id:file_id>"
NOT_FROM_HERE = {
    "invitations/accept",  # from the invitation's e-mail, as a page
    "orgs/<id:organization_id>/former-members/<id:user_id>",  # nobody has left
    FILE.replace("/files/", "/file/") + "/copy-to",  # the same at "files"
    *(f"{FILE}/multipart{path}" for path in ("", "/part-urls", "/complete")),  # of a file that comes in parts
}


def get(client: Client, url: str) -> bytes:
    answer = client.get(url)
    assert answer.status_code == 200, (url, answer.content)
    return answer.content


def links(client: Client, url: str) -> dict[str, str]:
    return hrefs(get(client, url))


def narrow(client: Client, url: str, **wanted: str) -> bytes:
    """Fill in the page's filters and send them the way a browser does: with the fields that are empty."""
    [form] = document_fromstring(get(client, url)).xpath("//details[@id='filters']//form")
    filled = dict(form.form_values())
    assert set(wanted) <= {control.name for control in form.inputs}, filled
    answer = client.get(form.get("action"), filled | wanted)
    assert answer.status_code == 200, answer.content
    return bytes(answer.content)


def options(html: bytes, name: str) -> dict[str, str]:
    """What the page offers for a field of its form."""
    document: HtmlElement = document_fromstring(html)
    offered = document.xpath(f"//datalist[@id='suggested-{name}']/option")
    return {option.text_content(): option.get("value") for option in offered}


def test_pages_of_a_list_lead_on_and_back(browser: Client, tenant: Tenant) -> None:
    with tenant.scope():
        for number in range(5):
            write_document(
                organization_id=tenant.organization.pk, creator=tenant.owner, title=f"{number}", content=""
            )
    url = f"{tenant.url}/documents"
    query = "?limit=2&orderBy=title"
    for back, titles, more in ((None, "01", "2"), ("0", "23", "4"), ("2", "4", None)):
        found = links(browser, url + query)
        assert set(titles) <= set(found)
        assert found.get("…Back") == (f"?limit=2&orderBy=title&cursor={back}" if back else None)
        assert found.get("More…") == (f"?limit=2&orderBy=title&cursor={more}" if more else None)
        query = found.get("More…", "")


def test_files_are_narrowed_by_filling_in_a_form(
    browser: Client, tenant: Tenant, waiting_file: File, ingest: Callable[..., File]
) -> None:
    ready = ingest("lamp.txt", b"The lens is cleaned with vinegar.", "text/plain")
    url = f"{tenant.library_url}/files"
    everything = {waiting_file.file_name, ready.file_name}
    for wanted, found in (
        ({}, everything),
        ({"status": "READY"}, {ready.file_name}),
        ({"query": "note", "orderBy": "-fileName"}, {waiting_file.file_name}),
    ):
        assert everything & set(hrefs(narrow(browser, url, **wanted))) == found
    answer = browser.get(url, {"limit": "many", "status": "READY"})
    assert answer.status_code == 400
    [form] = document_fromstring(answer.content).xpath("//details[@id='filters']//form")
    assert {("status", "READY"), ("limit", "many")} <= set(form.form_values())
    assert b"A valid integer is required." in answer.content


def test_audit_log_is_narrowed_and_exported_by_clicking(browser: Client, tenant: Tenant) -> None:
    url = f"{tenant.url}/audit-log"
    submit(browser, f"{tenant.url}/knowledgebases", {"title": "B", "llmDescription": "b", "type": "PERSONAL"})
    page = narrow(
        browser, url, kind="knowledge_base", since="2020-01-01T00:00:00", actorUserId=tenant.owner.pk
    )
    exported = browser.get(url + hrefs(page)["Export as CSV"])
    assert exported.status_code == 200 and exported["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(b"".join(exported).decode())))
    assert rows and {row["kind"].split(".")[0] for row in rows} == {"knowledge_base"}
    assert browser.get(url + hrefs(page)["Export as JSONL"])["Content-Type"] == "application/jsonl"
    nobody = narrow(browser, url, until="2020-01-01T00:00:00")
    assert b'"totalRows": 0' in nobody.replace(b"&quot;", b'"')


def test_usage_and_runs_are_narrowed_by_clicking(browser: Client, tenant: Tenant, run: Run) -> None:
    day = narrow(browser, f"{tenant.url}/usage", **{"from": "2026-01-01", "to": "2026-01-02"})
    assert b"2026-01-02" in day
    runs = f"{tenant.url}/runs"
    [title] = [title for title in links(browser, runs) if title.endswith("QUEUED Librarian")]
    assert title not in hrefs(narrow(browser, runs, status="FAILED"))
    assert title in hrefs(narrow(browser, runs, agentId=run.agent_id))


def test_personal_knowledge_bases_are_found_by_clicking(
    browser: Client, tenant: Tenant, personal: KnowledgeBase, run: Run
) -> None:
    url = f"{tenant.url}/knowledgebases"
    found = links(browser, url)
    assert personal.title not in found
    assert personal.title in links(browser, url + found["With your personal ones"])
    own = links(browser, f"{tenant.url}/agents/{run.agent_id}")["Its personal knowledge base"]
    assert "Librarian" in links(browser, own)


def test_etl_leads_to_its_runs_and_a_run_to_what_it_was_for(
    browser: Client, tenant: Tenant, etl: EtlConfig, waiting_file: File
) -> None:
    url = f"{tenant.library_url}/etls/{etl.pk}"
    started = submit(browser, f"{url}/run", {"fileId": waiting_file.pk})
    assert started.status_code == 202
    run_url = hrefs(started.content)["Run"]
    [title] = [title for title in links(browser, f"{url}/runs") if title.endswith("QUEUED Summarizer")]
    assert links(browser, f"{url}/runs")[title] == run_url
    found = links(browser, run_url)
    assert found["ETL"] == url
    assert found["File notes.txt"] == f"{tenant.library_url}/files/{waiting_file.pk}"
    assert found["Agent"] == f"{tenant.url}/agents/{etl.agent_id}"
    for target in ("ETL", "File notes.txt", "Agent", "Documents it wrote"):
        get(browser, found[target])
    trial = submit(browser, f"{url}/test", {"fileId": waiting_file.pk})
    assert hrefs(trial.content)["notes.txt"] == f"{tenant.library_url}/files/{waiting_file.pk}"


def test_agents_and_chains_that_are_run_lead_to_the_run(
    browser: Client, tenant: Tenant, run: Run, arguments: dict[str, str]
) -> None:
    for path in (f"agents/{run.agent_id}", f"action-chains/{arguments['action_chain_id']}"):
        page = links(browser, f"{tenant.url}/{path}")
        started = submit(browser, page["Run"], {"prompt": "Now."})
        assert started.status_code == 202, started.content
        get(browser, hrefs(started.content)["Run"])


def test_copy_is_watched_by_clicking(browser: Client, tenant: Tenant, stranger: Tenant) -> None:
    form = get_form(browser, f"{tenant.library_url}/copy-to")
    assert options(form, "targetOrganizationId") == {"Acme": tenant.organization.pk}
    made = submit(browser, f"{tenant.library_url}/copy-to", {"targetOrganizationId": tenant.organization.pk})
    found = hrefs(made.content)
    copy = links(browser, found["Copy"])
    assert (copy["Source"], copy["Target"]) == (tenant.library_url, found["Knowledge base"])
    assert get(browser, found["Knowledge base"])


def test_file_is_copied_to_where_the_form_says(
    browser: Client, tenant: Tenant, ingest: Callable[..., File]
) -> None:
    file = ingest("lamp.txt", b"The lens is cleaned with vinegar.", "text/plain")
    url = f"{tenant.library_url}/files/{file.pk}/copy-to"
    offered = options(get_form(browser, url), "targetKnowledgeBaseId")
    made = submit(browser, url, {"targetKnowledgeBaseId": offered["Acme: Library"]})
    assert made.status_code == 202, made.content
    assert get(browser, hrefs(made.content)["Copy"])


def test_document_leads_to_what_changed(browser: Client, tenant: Tenant, document: Document) -> None:
    url = f"{tenant.url}/documents/{document.pk}"
    assert "Latest changes" not in links(browser, url)
    with tenant.scope():
        save_version(document, creator=tenant.owner, content="New.")
    assert b"+New." in get(browser, links(browser, url)["Latest changes"])
    version = links(browser, f"{url}/versions")["1"]
    assert b"+New." in get(browser, links(browser, version)["Compare with the latest"])
    assert browser.get(f"{url}/diff").status_code == 400  # and its filters ask for what is missing
    assert b"+New." in get(browser, f"{url}/diff?before=1&after=")


def test_upload_in_parts_is_found_from_its_file(browser: Client, tenant: Tenant) -> None:
    base = links(browser, tenant.library_url)
    asked = {"fileName": "large.pdf", "contentType": "application/pdf", "multipart": "true"}
    made = submit(browser, base["Upload a file"], asked)
    assert made.status_code == 200, made.content
    page = links(browser, hrefs(made.content)["File"])
    parts = links(browser, page["Upload in parts"])
    answer = submit(browser, parts["URLs of parts"], {"partNumbers": "[1, 2]"})
    assert answer.status_code == 200 and answer.content.count(b"partNumber") >= 2
    refused = submit(browser, parts["Complete"], {"parts": '[{"partNumber": 1}]'})
    assert refused.status_code == 400 and b"0: etag: This field is required." in refused.content
    announced = submit(
        browser, base["Announce files"], {"files": '[{"fileName": "a.txt", "contentType": "text/plain"}]'}
    )
    assert get(browser, hrefs(announced.content)["a.txt"])


def test_forms_offer_what_there_is(
    browser: Client, tenant: Tenant, stranger: Tenant, run: Run, waiting_file: File
) -> None:
    etls = get(browser, f"{tenant.library_url}/etls")
    assert options(etls, "agentId") == {"Librarian": run.agent_id}
    form = form_of(document_fromstring(etls), "post-object-form")
    assert form is not None and "ENDS_WITH" in form.fields["conditions"]
    agents = form_of(document_fromstring(get(browser, f"{tenant.url}/agents")), "post-object-form")
    assert agents is not None
    offered = {
        box.get("value") for box in agents.xpath(".//input[@name='knowledgeBaseIds'][@type='checkbox']")
    }
    assert offered == {tenant.library.pk}
    other = Client(headers=HTML)
    other.force_login(stranger.owner)
    theirs = get(other, f"{stranger.library_url}/etls")
    assert run.agent_id not in theirs.decode() and waiting_file.pk not in theirs.decode()


def test_every_link_of_every_page_leads_somewhere(
    browser: Client, tenant: Tenant, arguments: dict[str, str]
) -> None:
    """From the organizations on, each page once, as far as links lead."""
    seen: set[str] = set()
    waiting = ["/orgs"]
    while waiting:
        url = waiting.pop()
        path = urlsplit(url).path
        if url in seen:
            continue
        seen.add(url)
        answer = browser.get(url)
        assert answer.status_code in {200, 405} or path.endswith("/reembed"), (url, answer.content)
        assert answer.status_code == 200 or b'id="post-object-form"' in answer.content, url
        if not answer.streaming:
            found = hrefs(answer.content).values()
            waiting += [path + link if link.startswith("?") else link for link in found]
    paths = {urlsplit(url).path for url in seen}
    missing = {route.pattern for route in routes() if route.url(arguments) not in paths}
    assert missing <= NOT_FROM_HERE, missing - NOT_FROM_HERE


def get_form(client: Client, url: str) -> bytes:
    answer = client.get(url)
    assert answer.status_code == 405, answer.content
    return bytes(answer.content)
