"""What the embedded database goes by when it chooses how to find rows."""

import pytest

from apps.knowledge.models import File
from tests.conftest import Tenant
from workers.maintenance import refresh_query_statistics

pytestmark = pytest.mark.once  # PostgreSQL counts by itself


def test_files_are_found_by_their_ids_and_not_among_all_of_the_organization(tenant: Tenant) -> None:
    with tenant.scope():
        made = File.objects.bulk_create(
            File(
                organization=tenant.organization,
                knowledge_base=tenant.library,
                file_name=f"{number}.txt",
                content_type="text/plain",
            )
            for number in range(300)
        )
        refresh_query_statistics()
        ten = File.objects.filter(pk__in=[file.pk for file in made[:10]], knowledge_base=tenant.library)
        assert "(id=?)" in ten.explain()
