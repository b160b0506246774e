"""What a knowledge base's pictures are read as."""

from collections.abc import Callable

import pytest

from apps.knowledge.files import reindex
from apps.knowledge.knowledge_bases import update_knowledge_base
from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from tests.conftest import Tenant, Upload, committing
from tests.fixtures import documents

pytestmark = pytest.mark.django_db
Run = Callable[[], int]


def test_language_that_the_worker_has_not_is_an_error_until_it_is_changed(
    tenant: Tenant, ingest: Upload, run_workers: Run
) -> None:
    with tenant.scope():
        update_knowledge_base(tenant.library, actor_id=tenant.owner.pk, ocr_languages=["xyz"])
    file = ingest("scan.png", documents.image(), "image/png")
    assert (file.status, file.error_code) == (FileStatus.ERROR, "ocr_language_missing")
    assert "not installed: xyz" in file.status_message
    with tenant.scope(), committing():
        update_knowledge_base(tenant.library, actor_id=tenant.owner.pk, ocr_languages=["deu", "eng"])
        reindex(file, actor_id=tenant.owner.pk)
    run_workers()
    with tenant.scope():
        assert File.objects.get(pk=file.pk).status == FileStatus.READY
