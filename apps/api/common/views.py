"""The base of every JSON view: how bodies are read, answers rendered and errors put into words.

A view has three moves: validate (``self.validated()``), call a service, render (``self.answer(…)``).
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, NoReturn, cast

from django.conf import settings
from django.http import HttpRequest, QueryDict
from rest_framework import serializers
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.api.common.authentication import caller_of, key_of
from apps.api.common.errors import Problem, problem_of
from apps.api.common.forms import Suggestion, unix_lines
from apps.api.common.links import Link
from apps.api.common.metering import (
    count_for_address,
    count_for_organization,
    is_counted,
    rate_limit_headers,
)
from apps.api.common.negotiation import Negotiation
from apps.api.common.parsers import JsonObjectParser
from apps.api.common.renderers import BrowsableRenderer
from apps.base.errors import CommonplaceError, TooLarge
from apps.base.origin import note_caller
from apps.orgs.access import AbilityMissing, OutOfReach, SessionNeeded, organization_counted_for
from apps.orgs.refusals import RefusalReason, close_window, note_refusal


class NoInputSerializer(serializers.Serializer):
    """A call without a body."""


class ApiView(APIView):
    """``inputs`` names the serializer of each method's body; the browsable API makes its forms of them."""

    parser_classes = [JsonObjectParser, FormParser, MultiPartParser]
    renderer_classes = [JSONRenderer, BrowsableRenderer]
    content_negotiation_class = Negotiation
    inputs: ClassVar[dict[str, type[serializers.Serializer]]] = {}
    name = ""  # the title of its page and its breadcrumb
    # Where its page leads: titles to paths below it; and for a list the fields that identify and name an item.
    below: ClassVar[dict[str, str]] = {}
    item_id = item_title = ""
    page_part = ""  # a template that its page includes
    query: serializers.Serializer | None = None  # as it was understood; the page makes its filters of it
    _refused: serializers.BaseSerializer | None = None

    @staticmethod
    def envelope(problem: Problem) -> dict[str, Any]:
        """The dialect's form of an error."""
        raise NotImplementedError

    def validated(self) -> dict[str, Any]:
        """The body as the method's serializer understands it. Raises ValidationError."""
        serializer = self.get_serializer(data=self.request.data)
        if not serializer.is_valid():
            self._refused = serializer
            raise ValidationError(cast(dict[str, Any], serializer.errors))
        said = dict(serializer.validated_data)
        return self._with_lines_as_they_were(said) if isinstance(self.request.data, QueryDict) else said

    def _with_lines_as_they_were(self, said: dict[str, Any]) -> dict[str, Any]:
        """Text that a form showed, and that differs by its line ends alone, nobody touched."""
        shown = self.form_instance_if_any() if self.request.method == "PUT" else None
        for name, value in said.items():
            there = getattr(shown, name, None)
            if isinstance(value, str) and isinstance(there, str) and unix_lines(there) == value:
                said[name] = there
        return said

    def validated_query(self, serializer_class: type[serializers.Serializer]) -> dict[str, Any]:
        """The query string as this serializer understands it. Raises ValidationError."""
        said = self.request.query_params.dict()
        if isinstance(self.request.accepted_renderer, BrowsableRenderer):  # whose forms send empty fields too
            said = {name: value for name, value in said.items() if value}
        self.query = serializer = serializer_class(data=said)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    @property
    def was_refused(self) -> bool:
        return self._refused is not None

    def suggestions(self, name: str) -> Sequence[Suggestion]:
        """What a form offers for a field, or a query parameter, of this name."""
        return ()

    def item_titles(self, items: Sequence[dict[str, Any]]) -> list[str]:
        return [str(item[self.item_title]) for item in items]

    def item_url(self, item: dict[str, Any]) -> str:
        return f"{self.request.path}/{item[self.item_id]}"

    def related(self, answer: dict[str, Any]) -> Iterable[Link]:
        """What else the page of this answer leads to."""
        return ()

    def answer(self, serializer: serializers.BaseSerializer, status: int = 200) -> Response:
        # A plain dict: the browsable API takes a serializer it finds on the data for the form's own.
        return Response(dict(serializer.data), status=status)

    def form_instance(self) -> object | None:
        """What the form of a PUT starts from."""
        return None

    def form_instance_if_any(self) -> object | None:
        try:
            return self.form_instance()
        except CommonplaceError:  # the page that says so is being drawn
            return None

    def get_serializer(self, instance: object = None, **kwargs: Any) -> serializers.BaseSerializer:
        """The input serializer of the current method; DRF asks for it to draw forms and to answer OPTIONS."""
        method = self.request.method or ""
        serializer_class = self.inputs.get(method, NoInputSerializer)
        if "data" not in kwargs:
            if isinstance(self._refused, serializer_class):
                return self._refused  # with what was typed, and what is wrong with it
            instance = self.form_instance_if_any() if method == "PUT" else None
        return serializer_class(instance, context={"request": self.request, "view": self}, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and int(length) > settings.MAX_REQUEST_BYTES:
            request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(
                request, force=True
            )
            raise TooLarge(f"The body is larger than the limit of {settings.MAX_REQUEST_BYTES} bytes.")
        super().initial(request, *args, **kwargs)

    def perform_authentication(self, request: Request) -> None:
        """Find out who calls, and count the call for them. Raises RateLimited."""
        try:
            super().perform_authentication(request)
        except APIException:
            count_for_address(request._request)
            raise
        key = key_of(request)
        note_caller(str(request.user.pk or ""), key_id=key.pk if key else "")
        self.count(request)

    def count(self, request: Request) -> None:
        """A key's calls are its organization's, a session's those of the organization in the path or another one of
        theirs; of somebody who belongs to none nobody knows whose they are."""
        if key := key_of(request):
            count_for_organization(request._request, key.organization, key_id=key.pk)
            return
        organization = None
        if request.user.is_authenticated:
            named = self.kwargs.get("organization_id", "")
            organization = organization_counted_for(caller_of(request), named)
        if organization is not None:
            count_for_organization(request._request, organization)
        else:
            count_for_address(request._request)

    def handle_exception(self, exc: Exception) -> Response:
        self.note_refused_key(exc)
        return super().handle_exception(exc)

    def note_refused_key(self, error: Exception) -> None:
        """For the audit log: a key that works was refused for what it may not do, or does not reach. Here, where the
        transaction is over that the refusal undid."""
        if not isinstance(error, AbilityMissing | OutOfReach | SessionNeeded):
            return
        key = key_of(self.request)
        if key is None:
            return
        if isinstance(error, AbilityMissing):
            reason = RefusalReason.ROLE if error.ability in key.abilities else RefusalReason.SCOPE
            note_refusal(reason, key=key, hint=key.hint, ability=str(error.ability))
        else:
            note_refusal(error.reason, key=key, hint=key.hint)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Response:
        answer = super().finalize_response(request, response, *args, **kwargs)
        close_window()
        asked: HttpRequest = getattr(request, "_request", request)
        if not is_counted(asked):  # it was refused before anybody asked whose it is
            with suppress(CommonplaceError):
                count_for_address(asked)
        for name, value in rate_limit_headers(asked).items():
            answer[name] = value
        return answer

    def get_exception_handler(self) -> Any:
        return self._render_problem

    def raise_uncaught_exception(self, exc: Exception) -> NoReturn:
        raise exc  # to Django, which logs it and asks handler500

    def _render_problem(self, error: Exception, context: dict[str, Any]) -> Response | None:
        problem = problem_of(error)
        if problem is None:
            return None
        return Response(self.envelope(problem), status=problem.status, headers=problem.headers)
