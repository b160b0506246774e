"""Whatever is changed in whatever order: an ETL fires where its conditions come to hold, once for each revision."""

from collections.abc import Callable
from typing import Any

from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.etl.models import Firing
from apps.knowledge.attributes import update_file
from apps.knowledge.models import File
from tests.conftest import Tenant
from tests.etl.conftest import MakeEtl, condition

STATES = st.sampled_from(["draft", "approved", "Approved", ""])
TAGS = st.lists(st.sampled_from(["a", "b"]), unique=True)
CHANGES = st.lists(
    st.one_of(
        st.fixed_dictionaries({"metadata": st.fixed_dictionaries({"state": STATES})}),
        st.fixed_dictionaries({"tags": TAGS}),
        st.fixed_dictionaries({"tags": TAGS, "metadata": st.just({})}),
        st.just("revision"),
    ),
    max_size=12,
)


def test_fires_where_conditions_come_to_hold_and_nowhere_else(
    tenant: Tenant, make_etl: MakeEtl, announce: Callable[..., File]
) -> None:
    etls = {
        make_etl([condition("metadata.state", "EQUALS", "approved")]).pk: lambda said, _: said == "approved",
        make_etl([condition("tags", "CONTAINS", "a", "OR"), condition("metadata.state", "IS_EMPTY")]).pk: (
            lambda said, tags: "a" in tags or not said
        ),
        make_etl([condition("tags", "EQUALS", "b", "AND"), condition("metadata.state", "IS_NOT_EMPTY")]).pk: (
            lambda said, tags: tags == ["b"] and bool(said)
        ),
    }
    file = announce()

    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(changes=CHANGES)
    def change(changes: list[Any]) -> None:
        with transaction.atomic(), tenant.scope():
            Firing.objects.all().delete()
            expected: set[tuple[str, int]] = set()
            revision = 0
            was: tuple[str, list[str]] = ("", [])
            for one in changes:
                if one == "revision":
                    revision += 1
                    File.objects.filter(pk=file.pk).update(last_revision=revision)
                    continue
                update_file(file, **one)
                current = File.objects.get(pk=file.pk)
                now = (str(current.metadata.get("state", "")).lower(), current.tags)
                expected |= {
                    (etl, revision) for etl, holds in etls.items() if holds(*now) and not holds(*was)
                }
                was = now
            assert set(Firing.objects.values_list("etl_id", "file_revision")) == expected
            transaction.set_rollback(True)

    change()
