"""What one file may ask for: the server's settings, narrowed by the plan; each refusal names the limit."""

import pytest
from django.test import override_settings

from apps.knowledge.media_types import DOCX, PDF, PLAIN_TEXT, PNG
from apps.knowledge.statuses import FileStatus
from apps.orgs.models import Plan
from tests.conftest import Tenant, Upload
from tests.fixtures import documents
from workers.pipeline.limits import parse_limits

pytestmark = pytest.mark.django_db


def put_on_plan(tenant: Tenant, **limits: int) -> None:
    tenant.organization.plan = Plan.objects.create(name="narrow", **limits)
    tenant.organization.save()


@pytest.mark.parametrize(
    ("limit", "value", "name", "content", "media_type", "named"),
    [
        ("max_pages", 3, "four.pdf", documents.pdf(4), PDF, "limit of 3"),
        ("max_image_pixels", 9_999, "dot.png", documents.image(["A"]), PNG, "9,999 pixels"),
        ("max_text_chars", 50, "long.txt", documents.text_file(), PLAIN_TEXT, "50 characters"),
        ("max_expanded_bytes", 5_000, "a.docx", documents.docx_file(), DOCX, "limit of 5,000 bytes"),
        ("parse_timeout_seconds", 1, "scan.pdf", documents.scanned_pdf(40), PDF, "1 seconds"),
    ],
)
def test_plan_narrows_what_a_file_may_ask_for(
    tenant: Tenant,
    ingest: Upload,
    limit: str,
    value: int,
    name: str,
    content: bytes,
    media_type: str,
    named: str,
) -> None:
    put_on_plan(tenant, **{limit: value})
    file = ingest(name, content, media_type)
    assert (file.status, file.error_code) == (FileStatus.ERROR, "limit_exceeded")
    assert named in file.status_message


@override_settings(MAX_PAGES=7, PARSE_TIMEOUT_SECONDS=3.5, PARSE_MEMORY_BYTES=2**30, MAX_EXPANDED_BYTES=2**20)
def test_settings_hold_where_the_plan_says_nothing_or_more(tenant: Tenant) -> None:
    put_on_plan(tenant, max_pages=1_000_000, parse_memory_bytes=2**28)
    limits = parse_limits(tenant.organization.pk)
    assert (limits.max_pages, limits.timeout_seconds) == (7, 3.5)
    assert (limits.memory_bytes, limits.max_expanded_bytes) == (2**28, 2**20)


@override_settings(PARSE_MEMORY_BYTES=2**29, MAX_EXPANDED_BYTES=2**30)
def test_archives_unpack_to_no_more_than_memory_can_hold(tenant: Tenant) -> None:
    assert parse_limits(tenant.organization.pk).max_expanded_bytes == 2**26


def test_plan_of_a_fresh_installation_sets_no_limit(tenant: Tenant) -> None:
    assert tenant.organization.plan.name == "local"
    with override_settings(MAX_PAGES=123_456):
        assert parse_limits(tenant.organization.pk).max_pages == 123_456
