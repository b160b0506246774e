"""How large a request may be: an upload as large as a file, anything else as large as JSON has reason to be."""

from urllib.parse import parse_qs

from asgiref.typing import HTTPScope
from django.conf import settings

from apps.api.common.body_limit import declared_length, header
from apps.api.objects.uploads import check_upload, max_bytes_of

OBJECTS = "/objects/"


def max_request_bytes(scope: HTTPScope) -> int:
    """Raises the error that an upload would end with anyway, so that nobody fills the disk without a
    signed URL."""
    path = scope["path"]
    if scope["method"] != "PUT" or not path.startswith(OBJECTS):
        return int(settings.MAX_REQUEST_BYTES)
    query = parse_qs(scope["query_string"].decode("latin-1"))
    grant = check_upload(
        path.removeprefix(OBJECTS),
        token=query.get("token", [""])[-1],
        content_type=header(scope, b"content-type"),
        declared_length=declared_length(scope),
    )
    return max_bytes_of(grant)
