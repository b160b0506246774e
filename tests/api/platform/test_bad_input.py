"""What is wrong gets a 400 in the envelope that names the field, or the status that fits; never a 500."""

from typing import Any

import pytest
from django.conf import settings

from tests.conftest import CommittingClient, Tenant

UPLOAD = {"fileName": "a.txt", "contentType": "text/plain"}
KB = {"title": "T", "llmDescription": "D", "type": "ORGANIZATION"}
SEARCH = {"query": "q"}

BAD_FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("orgs", {}, "name"),
    ("orgs", {"name": ""}, "name"),
    ("orgs", {"name": " \t"}, "name"),
    ("orgs", {"name": None}, "name"),
    ("orgs", {"name": 7}, "name"),
    ("orgs", {"name": ["x"]}, "name"),
    ("orgs", {"name": "x" * 201}, "name"),
    ("orgs", {"name": "a\x00b"}, "name"),
    ("orgs", {"name": "\ud800"}, "name"),
    ("kbs", KB | {"title": "x" * 201}, "title"),
    ("kbs", KB | {"title": True}, "title"),
    ("kbs", {"title": "T", "type": "ORGANIZATION"}, "llmDescription"),
    ("kbs", KB | {"llmDescription": ""}, "llmDescription"),
    ("kbs", KB | {"llmDescription": "x" * 4001}, "llmDescription"),
    ("kbs", KB | {"type": "SECRET"}, "type"),
    ("kbs", KB | {"type": "\udfff"}, "type"),
    ("kbs", KB | {"type": 1}, "type"),
    ("kbs", {"title": "T", "llmDescription": "D"}, "type"),
    ("kbs", KB | {"ocrLanguages": "deu"}, "ocrLanguages"),
    ("kbs", KB | {"ocrLanguages": ["German"]}, "ocrLanguages"),
    ("kbs", KB | {"ocrLanguages": ["../eng"]}, "ocrLanguages"),
    ("kbs", KB | {"ocrLanguages": ["eng+deu"]}, "ocrLanguages"),
    ("kbs", KB | {"ocrLanguages": [1]}, "ocrLanguages"),
    (
        "kbs",
        KB | {"ocrLanguages": ["aaa", "bbb", "ccc", "ddd", "eee", "fff", "ggg", "hhh", "iii"]},
        "ocrLanguages",
    ),
    ("upload", {}, "fileName"),
    ("upload", {"fileName": "a.txt"}, "contentType"),
    ("upload", UPLOAD | {"fileName": 5}, "fileName"),
    ("upload", UPLOAD | {"fileName": "  "}, "fileName"),
    ("upload", UPLOAD | {"fileName": "../etc/passwd"}, "fileName"),
    ("upload", UPLOAD | {"fileName": "a\\b.txt"}, "fileName"),
    ("upload", UPLOAD | {"fileName": ".."}, "fileName"),
    ("upload", UPLOAD | {"fileName": "a\nb.txt"}, "fileName"),
    ("upload", UPLOAD | {"fileName": "a\x00.txt"}, "fileName"),
    ("upload", UPLOAD | {"fileName": "x" * 256}, "fileName"),
    ("upload", UPLOAD | {"contentType": "application/x-msdownload"}, "contentType"),
    ("upload", UPLOAD | {"contentType": "nonsense"}, "contentType"),
    ("upload", UPLOAD | {"contentType": "text/plain;\r\nX-Evil: 1"}, "contentType"),
    ("upload", UPLOAD | {"contentType": "text/plain; charset=" + "x" * 150}, "contentType"),
    ("upload", UPLOAD | {"embeddingMode": "MAGIC"}, "embeddingMode"),
    ("upload", UPLOAD | {"customInstructions": 1}, "customInstructions"),
    ("upload", UPLOAD | {"customInstructions": "x" * 4001}, "customInstructions"),
    ("upload", UPLOAD | {"externalFileUrl": "javascript:alert(1)"}, "externalFileUrl"),
    ("upload", UPLOAD | {"externalFileUrl": 3}, "externalFileUrl"),
    ("upload", UPLOAD | {"externalFileUrl": "https://example.com/" + "x" * 2000}, "externalFileUrl"),
    ("upload", UPLOAD | {"tags": "a"}, "tags"),
    ("upload", UPLOAD | {"tags": [1]}, "tags"),
    ("upload", UPLOAD | {"tags": [""]}, "tags"),
    ("upload", UPLOAD | {"tags": {"a": 1}}, "tags"),
    ("upload", UPLOAD | {"tags": ["x" * 101]}, "tags"),
    ("upload", UPLOAD | {"tags": [str(n) for n in range(51)]}, "tags"),
    ("upload", UPLOAD | {"tags": ["a\x00"]}, "tags"),
    ("upload", UPLOAD | {"metadata": []}, "metadata"),
    ("upload", UPLOAD | {"metadata": "{}"}, "metadata"),
    ("upload", UPLOAD | {"metadata": {"a": None}}, "metadata"),
    ("upload", UPLOAD | {"metadata": {"a": {"b": 1}}}, "metadata"),
    ("upload", UPLOAD | {"metadata": {"": 1}}, "metadata"),
    ("upload", UPLOAD | {"metadata": {"a": "\x00"}}, "metadata"),
    ("upload", UPLOAD | {"metadata": {"\ud800": 1}}, "metadata"),
    ("upload", UPLOAD | {"metadata": {"a": 2**63}}, "metadata"),
    ("upload", UPLOAD | {"metadata": {"a": "x" * 1001}}, "metadata"),
    ("upload", UPLOAD | {"metadata": {str(n): n for n in range(51)}}, "metadata"),
    ("search", {}, "query"),
    ("search", {"query": ""}, "query"),
    ("search", {"query": ["a"]}, "query"),
    ("search", {"query": "x" * 4001}, "query"),
    ("search", SEARCH | {"limit": 0}, "limit"),
    ("search", SEARCH | {"limit": 101}, "limit"),
    ("search", SEARCH | {"limit": "5"}, "limit"),
    ("search", SEARCH | {"limit": True}, "limit"),
    ("search", SEARCH | {"limit": 1.5}, "limit"),
    ("search", SEARCH | {"limit": None}, "limit"),
    ("search", SEARCH | {"minSimilarity": 1.1}, "minSimilarity"),
    ("search", SEARCH | {"minSimilarity": -0.1}, "minSimilarity"),
    ("search", SEARCH | {"minSimilarity": "0.5"}, "minSimilarity"),
    ("search", SEARCH | {"minSimilarity": 10**400}, "minSimilarity"),
    ("search", SEARCH | {"fileIds": "file-1"}, "fileIds"),
    ("search", SEARCH | {"fileIds": [None]}, "fileIds"),
    ("search", SEARCH | {"tags": [{}]}, "tags"),
    ("search", SEARCH | {"metadata": {"a": [1]}}, "metadata"),
]


@pytest.fixture
def urls(tenant: Tenant) -> dict[str, str]:
    return {
        "orgs": "/orgs",
        "kbs": f"{tenant.url}/knowledgebases",
        "upload": f"{tenant.library_url}/files/upload-url",
        "search": f"{tenant.library_url}/search",
    }


def test_every_bad_field_is_named_in_a_400(api: CommittingClient, urls: dict[str, str]) -> None:
    import json

    for place, body, field in BAD_FIELDS:
        answer = api.post(urls[place], json.dumps(body), content_type="application/json")
        assert answer.status_code == 400, (place, body, answer.content)
        error = answer.json()["error"]
        assert error["code"] == "validation_error", (place, body)
        assert field in error["fields"], (place, body, error)
        assert all(isinstance(sentence, str) for sentence in error["fields"][field])
        assert error["message"]


def test_public_flag_must_be_a_boolean(api: CommittingClient, tenant: Tenant) -> None:
    wrong: tuple[object, ...] = ("true", 1, None, [])
    for value in wrong:
        body = {"title": "T", "llmDescription": "D", "isPublic": value}
        answer = api.put(tenant.library_url, body, format="json")
        assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["isPublic"]), value


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"7",
        b'{"name": NaN}',
        b'{"name": \xff}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"name": ' + b"9" * 5000 + b"}",
    ],
    ids=["broken", "list", "string", "null", "number", "nan", "bytes", "deep", "deep-objects", "digits"],
)
def test_body_that_is_no_json_object_is_a_400(api: CommittingClient, body: bytes) -> None:
    answer = api.post("/orgs", body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] in {"parse_error", "validation_error"}


def test_infinite_number_is_a_400(api: CommittingClient, urls: dict[str, str]) -> None:
    for field in (b'"metadata": {"a": 1e999}', b'"metadata": {"a": -1e999}'):
        body = b'{"fileName": "a.txt", "contentType": "text/plain", ' + field + b"}"
        answer = api.post(urls["upload"], body, content_type="application/json")
        assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["metadata"])
    for limit in (b"1e999", b"1e20"):
        body = b'{"query": "x", "limit": ' + limit + b"}"
        assert api.post(urls["search"], body, content_type="application/json").status_code == 400


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=x", "limit"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=101", "limit"),
        ("cursor=abc", "cursor"),
        ("cursor=", "cursor"),
        ("cursor=-1", "cursor"),
        ("cursor=1.5", "cursor"),
        ("cursor=" + "9" * 5000, "cursor"),
        ("orderBy=password", "orderBy"),
        ("orderBy=--createdAt", "orderBy"),
        ("orderBy=organization__name", "orderBy"),
        ("status=BROKEN", "status"),
        ("query=%00", "query"),
        ("query=" + "x" * 256, "query"),
    ],
)
def test_bad_query_parameter_is_named_in_a_400(
    api: CommittingClient, tenant: Tenant, query: str, field: str
) -> None:
    answer = api.get(f"{tenant.library_url}/files?{query}")
    assert answer.status_code == 400, answer.content
    assert list(answer.json()["error"]["fields"]) == [field]


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/octet-stream"])
def test_body_of_another_type_is_a_415(api: CommittingClient, content_type: str) -> None:
    answer = api.post("/orgs", b"name=x", content_type=content_type)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_media_type")


def test_charset_of_the_body_can_not_be_made_a_codec(api: CommittingClient) -> None:
    for charset in ("zlib", "base64", "rot13", "utf-16"):
        plain = api.post("/orgs", b'{"name": "x"}', content_type=f"application/json; charset={charset}")
        assert plain.status_code == 201, charset
        form = api.post(
            "/orgs", b"name=x", content_type=f"application/x-www-form-urlencoded; charset={charset}"
        )
        assert form.status_code == 400, charset
    assert api.post("/orgs", b"--x", content_type="multipart/form-data").status_code == 400


def test_body_over_the_limit_is_a_413(api: CommittingClient) -> None:
    body = b'{"name": "' + b"x" * settings.MAX_REQUEST_BYTES + b'"}'
    answer = api.post("/orgs", body, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
