"""A prepared query answers as the queryset it was made of would, whoever asks and whatever with."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.db.models import Q, QuerySet
from django.test.utils import CaptureQueriesContext

from apps.knowledge.models import KnowledgeBase
from apps.orgs.models import ApiKey, Membership
from apps.orgs.prepared import PreparedQuery
from apps.orgs.scope import ScopeMissing, system_scope
from tests.conftest import Tenant

pytestmark = pytest.mark.django_db


def _by_title(title: str) -> QuerySet[KnowledgeBase]:
    return KnowledgeBase.objects.select_related("organization__plan").filter(title=title)


def _ids_among(ids: Sequence[str], title: str) -> QuerySet[KnowledgeBase, str]:
    rows = KnowledgeBase.objects.filter(Q(title=title) | Q(title=""), pk__in=ids, is_default=True)
    return rows.order_by("-pk").values_list("pk", flat=True)[:10]


def test_each_tenant_gets_its_own_rows_as_they_are_now(tenant: Tenant, stranger: Tenant) -> None:
    prepared = PreparedQuery(_by_title)
    for one in (tenant, stranger, tenant):
        with one.scope():
            (row,) = prepared("Library")
            assert row == one.library
            with CaptureQueriesContext(connection) as queries:
                assert row.organization.plan.name == "local"
            assert not queries.captured_queries, "related rows come with it"
            assert prepared("Elsewhere") == []
            KnowledgeBase.objects.update(llm_description="changed meanwhile")
            assert prepared("Library")[0].llm_description == "changed meanwhile"
    with system_scope("test"):
        assert set(prepared("Library")) == set(_by_title("Library")) == {tenant.library, stranger.library}


def test_lists_of_any_length_and_tuples_of_columns(tenant: Tenant, stranger: Tenant) -> None:
    prepared = PreparedQuery(_ids_among)
    both = [tenant.library.pk, stranger.library.pk]
    with system_scope("test"):
        for ids in (both, both[:1], [*both, "kb-1", "kb-2"], []):
            for title in ("Library", "Other"):
                assert prepared(ids, title) == list(_ids_among(ids, title))
    with stranger.scope():
        assert prepared(both, "Library") == [stranger.library.pk]


def test_compiling_happens_once(tenant: Tenant) -> None:
    made: list[str] = []

    def make(user_id: str) -> QuerySet[Membership]:
        made.append(user_id)
        return Membership.objects.filter(user_id=user_id)

    prepared = PreparedQuery(make)
    with tenant.scope():
        assert [len(prepared(user)) for user in (tenant.owner.pk, "user-1", tenant.owner.pk)] == [1, 0, 1]
    assert len(made) == 1


def test_values_that_look_like_stand_ins_or_sql_are_values(tenant: Tenant) -> None:
    prepared = PreparedQuery(_by_title)
    with tenant.scope():
        for title in ("%s", "' OR 1=1 --", tenant.organization.pk, "Library"):
            KnowledgeBase.objects.update(title=title)
            assert len(prepared(title)) == 1
            assert prepared(f"{title}?") == []


def test_no_scope_is_an_error(tenant: Tenant) -> None:
    prepared = PreparedQuery(_by_title)
    with tenant.scope():
        prepared("Library")
    with pytest.raises(ScopeMissing):
        prepared("Library")


@pytest.mark.django_db(transaction=True)
def test_threads_share_what_was_compiled_and_no_connection(
    make_tenant: Callable[[str], Tenant], transactional_db: None
) -> None:
    tenants = [make_tenant(name) for name in ("One", "Two", "Three")]
    prepared = PreparedQuery(lambda user_id: ApiKey.objects.select_related("user").filter(user_id=user_id))

    def ask(number: int) -> bool:
        one: Tenant = tenants[number % 3]
        try:
            with one.scope():
                return [key.user for key in prepared(one.owner.pk)] == [one.owner]
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as threads:
        assert all(threads.map(ask, range(60)))
