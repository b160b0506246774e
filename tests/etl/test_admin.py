"""The operator's pages of ETLs."""

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import User
from apps.etl.models import EtlConfig, Firing
from tests.conftest import Tenant
from tests.etl.conftest import MakeEtl


@pytest.fixture
def console(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("operator@example.com", "correct horse battery"))
    return client


def test_operator_sees_etls_and_switches_them_off(console: Client, tenant: Tenant, make_etl: MakeEtl) -> None:
    etl = make_etl()
    for model in (EtlConfig, Firing):
        listed = console.get(reverse(f"admin:etl_{model._meta.model_name}_changelist"))
        assert listed.status_code == 200
    page = console.get(reverse("admin:etl_etlconfig_change", args=[etl.pk]))
    assert page.status_code == 200 and tenant.organization.name in page.content.decode()
    chosen = {"action": "disable", "_selected_action": [etl.pk]}
    assert console.post(reverse("admin:etl_etlconfig_changelist"), chosen).status_code == 302
    with tenant.scope():
        etl.refresh_from_db()
    assert not etl.is_enabled
    assert etl.acts_for == tenant.owner, "it is whose it was"
