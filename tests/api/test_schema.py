"""The OpenAPI documents: valid, complete, and true."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from openapi_spec_validator import validate

from apps.api.dialects import DIALECTS, Dialect
from tests.api.test_stranger_walk import routes
from tests.conftest import CommittingClient, Tenant

every_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


def document(dialect: Dialect) -> dict[str, Any]:
    answer = Client().get(f"/schema/{dialect.name}.json", headers={"authorization": "Bearer wrong"})
    assert answer.status_code == 200
    result: dict[str, Any] = json.loads(answer.content)
    return result


@every_dialect
def test_document_is_valid(dialect: Dialect) -> None:
    validate(document(dialect))


def test_check_finds_every_document_valid_and_without_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("check_schemas")
    assert capsys.readouterr().out.split("\n")[:-1] == [f"{dialect.name}: valid." for dialect in DIALECTS]


@every_dialect
def test_every_operation_is_told_completely(dialect: Dialect) -> None:
    paths = document(dialect)["paths"]
    operation_ids = []
    for path, methods in paths.items():
        for method, operation in methods.items():
            where = f"{method} {path}"
            operation_ids.append(operation["operationId"])
            assert operation["summary"] and operation["tags"], where
            assert {"401", "405", "406", "429", "500", "503"} <= set(operation["responses"]), where
            if "{" in path:
                assert "404" in operation["responses"], where
            if "requestBody" in operation:
                assert {"400", "413", "415"} <= set(operation["responses"]), where
                content = operation["requestBody"]["content"]
                assert list(content) == ["application/json"], where
                assert content["application/json"]["examples"], where
            for status, response in operation["responses"].items():
                assert response["content"]["application/json"]["schema"], (where, status)
                for content_type, told in response["content"].items():
                    assert told.get("examples"), (where, status, content_type)
    assert len(set(operation_ids)) == len(operation_ids)


@every_dialect
def test_descriptions_are_for_those_who_call(dialect: Dialect) -> None:
    """No docstring that was written for those who read the code."""
    for text in descriptions(document(dialect)):
        assert not re.search(r"``|docs/|\bDRF\b|serializer|\bself\b|queryset", text, re.IGNORECASE), text


def descriptions(node: Any) -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if key == "description" and isinstance(value, str):
            yield value
        elif isinstance(value, dict | list) and key not in {"example", "examples"}:
            yield from descriptions(value)


def test_every_route_is_in_a_document() -> None:
    told = {
        path.replace("{", "<").replace("}", ">")
        for dialect in DIALECTS
        for path in document(dialect)["paths"]
    }
    shapes = {"/".join("<>" if "<" in part else part for part in path.split("/")) for path in told}
    for route in routes():
        shape = "/" + "/".join("<>" if "<" in part else part for part in route.pattern.split("/"))
        assert shape in shapes, route


def test_answers_have_the_fields_that_the_document_tells(api: CommittingClient, tenant: Tenant) -> None:
    schemas = document(DIALECTS[0])["components"]["schemas"]
    body = {"fileName": "a.txt", "contentType": "text/plain"}
    file = api.post(f"{tenant.library_url}/files/upload-url", body, format="json").json()
    assert set(file) == set(schemas["FileWithUploadUrl"]["properties"])
    assert set(file) == set(schemas["FileWithUploadUrl"]["required"])
    assert set(api.get(tenant.url).json()) == set(schemas["Organization"]["properties"])
    assert set(api.get(tenant.library_url).json()) == set(schemas["KnowledgeBase"]["properties"])
    (event,) = api.get(f"{tenant.library_url}/files/{file['fileId']}/events").json()["items"]
    assert set(event) == set(schemas["FileEvent"]["properties"])


@every_dialect
def test_pages_need_nothing_from_elsewhere(dialect: Dialect) -> None:
    yaml = Client().get(f"/schema/{dialect.name}.yaml")
    assert yaml.content.startswith(b"openapi: 3")
    for url in (f"/schema/{dialect.name}/", f"/schema/{dialect.name}/redoc/"):
        answer = Client().get(url)
        assert answer.status_code == 200
        html = answer.content.decode()
        assert f"/schema/{dialect.name}.json" in html
        assert "cdn." not in html and "fonts.googleapis" not in html
