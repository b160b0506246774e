"""Forms of pages, filled in and sent the way a browser does."""

from typing import Any

from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from lxml.html import FormElement, HtmlElement, document_fromstring

from tests.conftest import Answer, committing

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def form_of(document: HtmlElement, pane: str) -> FormElement | None:
    """The form in this pane of the page: ``post-object-form``, ``put-generic-content-form`` and so on."""
    found = document.xpath(f"//*[@id='{pane}']//form")
    return found[0] if found else None


def controls(form: FormElement) -> dict[str, list[str]]:
    """What a browser would send of a form that nobody touched: line ends become CRLF."""
    told: dict[str, list[str]] = {}
    for name, value in form.form_values():
        told.setdefault(name, []).append("\r\n".join(value.splitlines()) + "\r\n" * value.endswith("\n"))
    for textarea in form.xpath(".//textarea"):
        # A parser of HTML takes away the line end that a textarea begins with; this one does not.
        told[textarea.name] = [one.removeprefix("\r\n") for one in told[textarea.name]]
    return told


def put_form(client: Client, url: str, document: HtmlElement, **changed: str | list[str]) -> Answer:
    """Send the page's PUT form, as ajax-form.js does: multipart, the token in a header."""
    form = form_of(document, "put-object-form")
    assert form is not None, url
    filled: dict[str, Any] = controls(form)
    assert set(changed) <= set(filled), set(filled)
    body = encode_multipart(BOUNDARY, filled | changed)
    with committing():
        return client.put(url, body, content_type=MULTIPART_CONTENT, headers=csrf_header(document))


def raw_content(document: HtmlElement, method: str) -> str | None:
    """What the "Raw data" tab is filled with."""
    form = form_of(document, f"{method.lower()}-generic-content-form")
    return None if form is None else str(form.fields["_content"] or "").removeprefix("\n")


def csrf_header(document: HtmlElement) -> dict[str, str]:
    [script] = document.xpath("//script[@id='drf_csrf']")
    return {"x-csrftoken": script.text.split('"csrfToken": "')[1].split('"')[0]}


def page(client: Client, url: str) -> HtmlElement:
    answer = client.get(url)
    assert answer["Content-Type"].startswith("text/html"), url
    return document_fromstring(answer.content)


def hrefs(html: str | bytes) -> dict[str, str]:
    """The links of the page's own list, by their text."""
    links = document_fromstring(html).xpath("//ul[@class='list-inline']//a")
    return {link.text_content(): link.get("href") for link in links}
