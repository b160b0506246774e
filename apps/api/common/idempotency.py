"""The Idempotency-Key header: a POST that comes again with the same key makes nothing anew.

No library: those that there are keep the answer, in another transaction than what it tells of, so that a process
that dies in between makes everything twice; and an answer that holds signed URLs must not be told unchanged.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar

from django.db import IntegrityError, transaction
from django.http import QueryDict
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request

from apps.api.models import IdempotentRequest
from apps.base.errors import CommonplaceError, ValidationFailed
from apps.orgs.scope import system_scope

HEADER = "Idempotency-Key"
KEPT = timedelta(hours=24)
FORGET_BATCH = 1000
_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)

PARAMETER = OpenApiParameter(
    HEADER,
    str,
    OpenApiParameter.HEADER,
    pattern=r"^[\x21-\x7e]{1,255}$",
    description=(
        "A new random text, such as a UUID, for each thing to be done, and the same one when that is tried "
        "again: for 24 hours it is not done twice, and the answer names the same files with URLs that work."
    ),
)


class KeyReused(CommonplaceError):
    code = "idempotency_key_reused"
    http_status = 422
    default_message = "This Idempotency-Key was used for another request. Use a new one for each."


class _CameFirst(Exception):
    """The same request, at the same moment, was faster."""


class HasId(Protocol):
    pk: str


Answer = TypeVar("Answer")
Remember = Callable[[Sequence[HasId]], None]


def once(
    request: Request,
    *,
    organization_id: str,
    make: Callable[[Remember | None], Answer],
    repeat: Callable[[list[str]], Answer],
) -> Answer:
    """Do what the request asks for, unless it was done before.

    ``make`` does it, and calls what it is given in its transaction, with what it made; ``repeat`` answers for
    things that were made, by their ids. Of two at the same moment the second waits for the first.

    Raises ValidationFailed for a key that is none, KeyReused for one that came with another body or from another
    user.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return make(None)
    if not _KEY.fullmatch(key):
        raise ValidationFailed(f"{HEADER}: 1 to 255 printable ASCII characters are expected.")
    path, fingerprint = request.path, _fingerprint(request)

    def remember(made: Sequence[HasId]) -> None:
        try:
            with transaction.atomic():
                IdempotentRequest.objects.create(
                    organization_id=organization_id,
                    path=path,
                    key=key,
                    fingerprint=fingerprint,
                    subject_ids=[one.pk for one in made],
                )
        except IntegrityError as error:
            raise _CameFirst from error

    _forget()
    done = IdempotentRequest.objects.filter(path=path, key=key)
    first = done.first()
    if first is not None and first.created_at < timezone.now() - KEPT:
        first.delete()
        first = None
    if first is None:
        try:
            return make(remember)
        except _CameFirst:
            first = done.get()
    if first.fingerprint != fingerprint:
        raise KeyReused
    return repeat(first.subject_ids)


def _fingerprint(request: Request) -> str:
    said = dict(request.data.lists()) if isinstance(request.data, QueryDict) else request.data
    # With who says it: two members who both begin to count at 1 do not mean the same file.
    # A form may hold a file, which no field of ours takes: its name will do.
    text = json.dumps([str(request.user.pk), said], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _forget() -> None:
    """Forget what is older than ``KEPT``, a bounded lot with each new key."""
    with system_scope("keys of any organization grow old"):
        old = IdempotentRequest.objects.filter(created_at__lt=timezone.now() - KEPT)
        oldest = old.order_by("created_at").values_list("pk", flat=True)[:FORGET_BATCH]
        if ids := list(oldest):
            IdempotentRequest.objects.filter(pk__in=ids).delete()
