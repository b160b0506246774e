"""A process that is killed between a file's change and the start of what it fires."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.db import connection
from django.utils import timezone

from apps.agents.models import Run
from apps.etl import starting
from apps.etl.models import Firing
from apps.knowledge.models import File
from tests.conftest import Tenant
from tests.etl.conftest import MakeEtl, condition

CHILD = """
import os, signal, sys
import django
django.setup()
from django.db import transaction
from apps.knowledge.attributes import update_file
from apps.knowledge.models import File
from apps.orgs.scope import tenant_scope
organization_id, file_id, moment = sys.argv[1:]
def die():
    os.kill(os.getpid(), signal.SIGKILL)
with tenant_scope(organization_id), transaction.atomic():
    transaction.on_commit(die)  # before the message is sent, which is a hook too, and comes later
    update_file(File.objects.get(pk=file_id), metadata={"state": "approved"})
    if moment == "before the commit":
        die()
"""


@pytest.mark.topology("full")  # where another process can have the same database
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("moment", ["before the commit", "after the commit"])
def test_killed_process_leaves_both_the_change_and_its_firing_or_neither(
    tenant: Tenant, make_etl: MakeEtl, announce: Callable[..., File], moment: str
) -> None:
    make_etl([condition("metadata.state", "EQUALS", "approved")])
    file = announce()
    name = connection.settings_dict["NAME"]  # the tests' own
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    child = subprocess.run(
        [sys.executable, "-c", CHILD, tenant.organization.pk, file.pk, moment],
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    with tenant.scope():
        file.refresh_from_db()
        is_changed = moment == "after the commit"
        assert (file.metadata == {"state": "approved"}) is is_changed
        assert Firing.objects.count() == is_changed
        Firing.objects.update(available_at=timezone.now() - timedelta(seconds=1))
        assert starting.start_waiting() == is_changed
        assert Run.objects.count() == is_changed
