"""Whether this process lives, and whether it can work."""

import logging
from collections.abc import Callable

from celery import current_app
from django.db import connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.retrieval import services as retrieval

logger = logging.getLogger(__name__)


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 once the process serves. Touches nothing: a slow database is no reason to kill a web process."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when database, broker and index answer, else 503. Why they don't is in the log."""
    checks = {"database": _database, "broker": _broker, "index": retrieval.check_index}
    found = {name: _answers(name, check) for name, check in checks.items()}
    is_ready = all(found.values())
    return JsonResponse(
        {"status": "ok" if is_ready else "unavailable"}
        | {name: "ok" if answers else "unavailable" for name, answers in found.items()},
        status=200 if is_ready else 503,
    )


def _answers(name: str, check: Callable[[], object]) -> bool:
    try:
        check()
    except Exception:  # whatever a driver raises means the same here
        logger.warning("Not ready: the %s does not answer.", name, exc_info=True)
        return False
    return True


def _database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def _broker() -> None:
    with current_app.connection_for_read() as broker:
        broker.ensure_connection(max_retries=1, timeout=2)
