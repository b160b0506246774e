"""Views inside one organization: who may call them, and the tenant scope they run in."""

from contextlib import ExitStack
from typing import Any, ClassVar

from django.http import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from rest_framework.exceptions import PermissionDenied as DrfPermissionDenied
from rest_framework.permissions import SAFE_METHODS, BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.api.common.authentication import caller_of, key_of
from apps.api.common.views import ApiView
from apps.base.errors import PermissionDenied
from apps.orgs.access import AbilityMissing, Access, access_to
from apps.orgs.roles import Ability
from apps.orgs.scope import tenant_scope


class HasAbility(BasePermission):
    """The caller's role, and the key's scopes, allow what the method does."""

    message = "Your role here, or your API key's scopes, do not allow this."

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not isinstance(view, TenantView) or not view.is_inside:
            return False
        try:
            view.access.require(view.ability_for(request.method))
        except PermissionDenied as error:
            self.message = error.message  # which names what is missing
            return False
        return True


class TenantView(ApiView):
    """A view below ``{organization_id}``. Everything it does happens inside that organization's scope.

    A safe method needs the ability ``reads``, another ``writes``, unless ``abilities`` names one for it.
    """

    permission_classes = [IsAuthenticated, HasAbility]
    reads: ClassVar[Ability] = Ability.ORG_READ
    writes: ClassVar[Ability] = Ability.ORG_MANAGE
    abilities: ClassVar[dict[str, Ability]] = {}
    is_inside = False  # whether the caller was found to belong here; ``access`` exists from then on
    access: Access

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        with ExitStack() as self._scope:
            response = super().dispatch(request, *args, **kwargs)
            if isinstance(response, SimpleTemplateResponse):
                response.render()  # Django would do it after this returns, when the scope has closed
            return response

    def perform_authentication(self, request: Request) -> None:
        """Find out who calls, then step into the organization. Raises NotFound for one that is not theirs, and
        RateLimited."""
        super().perform_authentication(request)
        if request.user.is_authenticated:
            self.access = self.find_access(request)
            self.is_inside = True
            self._scope.enter_context(tenant_scope(self.access.organization.pk))

    def find_access(self, request: Request) -> Access:
        key = key_of(request)
        role = key.user_role if key else None  # read with the key
        return access_to(self.kwargs["organization_id"], user=caller_of(request), key=key, role=role)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, DrfPermissionDenied) and self.is_inside:  # HasAbility's
            self.note_refused_key(AbilityMissing(self.ability_for(self.request.method)))
        return super().handle_exception(exc)

    def ability_for(self, method: str | None) -> Ability:
        return self.abilities.get(method or "", self.reads if method in SAFE_METHODS else self.writes)
