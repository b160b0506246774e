"""``POST /storage-events``: what a store that sends HTTP notifications tells of its objects."""

import logging

from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, JsonResponse
from django.http.request import UnreadablePostError
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from apps.api.common.errors import Problem, problem_of
from apps.api.objects.errors import envelope
from apps.api.storage_events.senders import check_sender
from apps.base.errors import CommonplaceError, TemporarilyUnavailable
from apps.knowledge.storage_events import act_on

logger = logging.getLogger(__name__)
RETRY_AFTER_SECONDS = 5


class DatabaseAway(TemporarilyUnavailable):
    default_message = "The database does not answer. Tell it again in a moment."


@method_decorator(csrf_exempt, name="dispatch")  # the signature is the authority, no cookie is
class StorageEventsView(View):
    """Public, for senders that sign or know the token. What they tell is only a hint: what counts is what the
    store holds."""

    http_method_names = ["post"]

    def dispatch(self, request: HttpRequest, *args: str, **kwargs: str) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        except (CommonplaceError, RequestDataTooBig, UnreadablePostError) as error:
            problem = problem_of(error)
            assert problem is not None  # noqa: S101 - told to mypy: ours are always known
            response = JsonResponse(envelope(problem), status=problem.status, headers=problem.headers)
            if problem.status == TemporarilyUnavailable.http_status:
                response.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
            return response

    def post(self, request: HttpRequest) -> JsonResponse:
        """200 with how many files that queued, whatever else the notification is about; 503 when it is to be
        told again."""
        check_sender(request.headers, request.body)
        try:
            queued = act_on(request.body.decode("utf-8", errors="replace"))
        except (OperationalError, InterfaceError) as error:
            logger.warning("A storage event will have to be told again: %s", error)
            raise DatabaseAway from error
        return JsonResponse({"queued": queued})

    def http_method_not_allowed(self, request: HttpRequest, *args: str, **kwargs: str) -> JsonResponse:
        problem = Problem(405, "method_not_allowed", f"{request.method} is not possible here.")
        return JsonResponse(envelope(problem), status=problem.status, headers={"Allow": "POST"})
