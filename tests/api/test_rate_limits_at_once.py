"""Two hundred calls at the same moment against a limit of a hundred, through the application that is deployed."""

from collections.abc import Callable

import pytest

from apps.orgs.models import Organization, Plan
from tests.api.asgi_server import serving
from tests.conftest import Tenant
from tests.crowd import call_at_once, check_exactly


@pytest.mark.topology("embedded")
@pytest.mark.django_db(transaction=True)
def test_two_hundred_calls_over_http_at_once_admit_exactly_a_hundred(
    make_tenant: Callable[[str], Tenant],
) -> None:
    from config.asgi import application

    crowd = make_tenant("Crowd")
    plan, _ = Plan.objects.get_or_create(name="hundred", requests_per_minute=100)
    Organization.objects.filter(pk=crowd.organization.pk).update(plan=plan)
    with serving(application) as port:
        answers = call_at_once([f"http://127.0.0.1:{port}{crowd.url}"] * 200, crowd.secret)
    check_exactly(100, answers)
