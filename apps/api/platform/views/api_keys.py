from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.common.paging import paginate
from apps.api.platform.errors import problems
from apps.api.platform.serializers import api_keys as s
from apps.api.platform.views.base import OrganizationView
from apps.base.errors import NotFound
from apps.orgs.keys import keys_of, make_key, revoke_key, rotate_key, update_key
from apps.orgs.models import ApiKey
from apps.orgs.roles import Ability

TAGS = ["API keys"]


class _KeysView(OrganizationView):
    reads = writes = Ability.KEYS_OWN

    def answer_with_secret(self, key: ApiKey, secret: str, *, status: int = 200) -> Response:
        """The one answer that tells it: nothing on the way is to keep it."""
        answer = self.answer(s.ApiKeyWithSecretSerializer(key, context={"secret": secret}), status=status)
        answer["Cache-Control"] = "no-store"
        return answer


class ApiKeysView(_KeysView):
    """Your API keys; an ADMIN sees everybody's."""

    name = "API keys"
    item_id, item_title = "keyId", "name"
    inputs = {"POST": s.ApiKeyInputSerializer}

    @extend_schema(
        operation_id="listApiKeys",
        tags=TAGS,
        summary="List API keys",
        description="The caller's own; with the ability `keys.manage` everybody's. Revoked ones are left out.",
        parameters=[s.ApiKeyPageQuery],
        responses={200: s.ApiKeyPageSerializer, **problems(400, 403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        query = self.validated_query(s.ApiKeyPageQuery)
        return self.answer(s.ApiKeyPageSerializer(paginate(keys_of(self.access), query)))

    @extend_schema(
        operation_id="createApiKey",
        tags=TAGS,
        summary="Make an API key",
        description=(
            "A key of the caller's own. `secret` is in this answer only. It can't be given more than the caller has: "
            "a scope beyond that is a 403, and a key made by a key ends with it at the latest. Without `scopes` it has "
            "all that the caller has, but `members.manage`, `owners.manage` and `org.delete`: these are to be named."
        ),
        request=s.ApiKeyInputSerializer,
        responses={201: s.ApiKeyWithSecretSerializer, **problems(403, 404, 409, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        body = self.validated()
        if body.get("knowledge_base_ids") is not None:
            self.check_knowledge_bases(body["knowledge_base_ids"])
        key, secret = make_key(self.access, **body)
        return self.answer_with_secret(key, secret, status=201)

    def check_knowledge_bases(self, ids: Sequence[str]) -> None:
        """Raises ValidationError for what the caller can't see."""
        found = set(self.visible_knowledge_bases().filter(pk__in=ids).values_list("pk", flat=True))
        if unknown := [one for one in ids if one not in found]:
            raise ValidationError({"knowledgeBaseIds": [f"There is no such knowledge base: {unknown[0]}"]})


class _KeyView(_KeysView):
    """Below ``…/api-keys/{key_id}``."""

    @cached_property
    def key(self) -> ApiKey:
        """Raises NotFound."""
        row = keys_of(self.access).filter(pk=self.kwargs["key_id"]).first()
        if row is None:
            raise NotFound("There is no such API key.")
        return row


class ApiKeyView(_KeyView):
    """One API key."""

    name = "API key"
    below = {"Rotate": "rotate"}
    inputs = {"PUT": s.ApiKeyUpdateSerializer}

    @extend_schema(
        operation_id="getApiKey",
        tags=TAGS,
        summary="Read an API key",
        responses={200: s.ApiKeySerializer, **problems(403, 404)},
    )
    def get(self, request: Request, **_: str) -> Response:
        return self.answer(s.ApiKeySerializer(self.key))

    @extend_schema(
        operation_id="updateApiKey",
        tags=TAGS,
        summary="Change an API key",
        description=(
            "Its name, its scopes, its end; what is left out stays. In a session only, and of one's own keys only "
            "(403): no key can widen itself or another. Verbs that were added after a key was made, which are among "
            "its `missingScopes`, come to it so. It can't be given what its user's role does not have (403)."
        ),
        request=s.ApiKeyUpdateSerializer,
        responses={200: s.ApiKeySerializer, **problems(403, 404, body=True)},
    )
    def put(self, request: Request, **_: str) -> Response:
        return self.answer(s.ApiKeySerializer(update_key(self.access, self.key, **self.validated())))

    @extend_schema(
        operation_id="revokeApiKey",
        tags=TAGS,
        summary="Revoke an API key",
        description=(
            "It opens nothing from now on, and nor do the keys that it made. One's own, or with the ability "
            "`keys.manage` anybody's."
        ),
        responses={200: s.ApiKeyRevokedSerializer, **problems(403, 404)},
    )
    def delete(self, request: Request, key_id: str, **_: str) -> Response:
        revoke_key(self.key)
        return self.answer(s.ApiKeyRevokedSerializer({"message": "API key revoked", "pk": key_id}))

    def form_instance(self) -> object:
        return self.key


class RotateView(_KeyView):
    """Give your key a new secret; the old one works on for a while."""

    name = "Rotate"
    inputs = {"POST": s.RotateInputSerializer}

    @extend_schema(
        operation_id="rotateApiKey",
        tags=TAGS,
        summary="Rotate an API key",
        description=(
            "The key gets a new `secret`, which is in this answer only; the old one works on for `overlapSeconds`. "
            "Only one's own key (403): whoever had the secret could act as its user. With a key: itself and those "
            "that it made; the others take a session (403)."
        ),
        request=s.RotateInputSerializer,
        responses={200: s.ApiKeyWithSecretSerializer, **problems(403, 404, body=True)},
    )
    def post(self, request: Request, **_: str) -> Response:
        overlap = timedelta(seconds=self.validated()["overlap_seconds"])
        return self.answer_with_secret(*rotate_key(self.access, self.key, overlap=overlap))
