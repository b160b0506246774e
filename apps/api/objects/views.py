"""``PUT`` and ``GET /objects/<key>?token=…``: what an S3 bucket does for presigned URLs, for the folder store."""

from collections.abc import Iterator
from pathlib import Path

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.request import UnreadablePostError
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.utils.http import content_disposition_header
from django.views import View
from django.views.decorators.csrf import csrf_exempt

from apps.api.common.errors import Problem, problem_of
from apps.api.objects.errors import IncompleteUpload, PartialUpload, UnsatisfiableRange, envelope
from apps.api.objects.ranges import ByteRange, FilePieces, read_range
from apps.api.objects.uploads import (
    check_grant,
    check_key,
    check_length,
    check_upload,
    end_of_part,
    folder_store,
)
from apps.base.errors import CommonplaceError, Conflict, NotFound
from apps.knowledge import multipart, quotas
from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from apps.knowledge.storage.contracts import AlreadyUploaded, ObjectMissing, UploadMissing
from apps.knowledge.uploads import object_arrived
from apps.orgs.allowances import allowances_of
from apps.orgs.scope import tenant_scope

PIECE_BYTES = 256 * 1024


@method_decorator(csrf_exempt, name="dispatch")  # the token is the authority, no cookie is
class ObjectView(View):
    """Public: whoever has a signed URL may do what the URL says."""

    http_method_names = ["get", "head", "put"]

    def dispatch(self, request: HttpRequest, *args: str, **kwargs: str) -> HttpResponseBase:
        try:
            return super().dispatch(request, *args, **kwargs)
        except CommonplaceError as error:
            return _refusal(_problem(error))

    def put(self, request: HttpRequest, key: str) -> HttpResponse:
        store = folder_store()
        length = request.META.get("CONTENT_LENGTH") or ""
        declared_length = int(length) if length.isdecimal() else 0
        grant = check_upload(
            key,
            token=request.GET.get("token", ""),
            content_type=request.headers.get("Content-Type", ""),
            declared_length=declared_length,
        )
        if "Content-Range" in request.headers:  # RFC 9110, 14.5: a part must not pass for the whole
            raise PartialUpload
        file, pieces = _file_of(key), _pieces(request, declared_length)
        if file.status != FileStatus.WAITING_UPLOAD:
            if store.stat(key) is not None:
                raise AlreadyUploaded
            raise Conflict("This file no longer waits for an upload. Ask for a new upload URL.")
        if grant.part_number:
            if file.multipart_upload_id != grant.upload_id:
                raise UploadMissing
            with tenant_scope(file.organization_id):
                multipart.reserve(file, end_of_part(grant, declared_length))
            etag = store.multipart.receive(key, grant.upload_id, grant.part_number, pieces).etag
        else:
            max_bytes = allowances_of(file.organization_id).max_file_bytes
            check_length(declared_length, max_bytes)
            quotas.ensure_room(file.organization_id, size_bytes=declared_length)
            etag = store.receive(key, pieces, max_bytes=max_bytes).etag
            object_arrived(key)
        response = HttpResponse(status=200, headers={"ETag": f'"{etag}"'})
        del response["Content-Type"]  # there is no content
        return response

    def get(self, request: HttpRequest, key: str) -> HttpResponseBase:
        store = folder_store()
        check_key(key)
        grant = check_grant(request.GET.get("token", ""), method="GET", key=key)
        _file_of(key)
        stat = store.stat(key)
        if stat is None:
            raise ObjectMissing
        headers = {
            "Content-Type": grant.content_type,
            "Content-Disposition": content_disposition_header(True, grant.file_name) or "attachment",
            # Strangers' bytes on our own origin: never shown in place, never guessed at, never run.
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "Accept-Ranges": "bytes",
            "Cache-Control": "private, no-store",
            "ETag": f'"{stat.etag}"',
        }
        try:
            wanted = _wanted_range(request, etag=headers["ETag"], size_bytes=stat.size_bytes)
        except UnsatisfiableRange as error:
            refusal = _refusal(_problem(error))
            refusal["Content-Range"] = f"bytes */{stat.size_bytes}"
            return refusal
        status = 200
        if wanted is None:
            wanted = ByteRange(0, stat.size_bytes)
        else:
            status = 206
            headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{stat.size_bytes}"
        headers["Content-Length"] = str(wanted.size_bytes)
        if request.method == "HEAD":
            return HttpResponse(status=status, headers=headers)
        try:
            opened = Path(store.path(key)).open("rb")  # noqa: SIM115 - the response closes it
        except FileNotFoundError as error:
            raise ObjectMissing from error
        return StreamingHttpResponse(FilePieces(opened, wanted), status=status, headers=headers)

    def http_method_not_allowed(self, request: HttpRequest, *args: str, **kwargs: str) -> JsonResponse:
        response = _refusal(Problem(405, "method_not_allowed", f"{request.method} is not possible here."))
        response["Allow"] = "GET, HEAD, PUT"
        return response


def _file_of(key: str) -> File:
    """The live row that the key belongs to. Raises NotFound."""
    parts = check_key(key)
    with tenant_scope(parts.organization_id):
        file = File.objects.filter(pk=parts.file_id, knowledge_base_id=parts.knowledge_base_id).first()
    if file is None:
        raise NotFound("The file was deleted.")
    return file


def _pieces(request: HttpRequest, declared_length: int) -> Iterator[bytes]:
    """The body. Raises IncompleteUpload when it ends early, so that no half file is stored."""
    received = 0
    try:
        while piece := request.read(PIECE_BYTES):
            received += len(piece)
            yield piece
    except UnreadablePostError as error:
        raise IncompleteUpload from error
    if received < declared_length:
        raise IncompleteUpload


def _wanted_range(request: HttpRequest, *, etag: str, size_bytes: int) -> ByteRange | None:
    if request.headers.get("If-Range", etag) != etag:
        return None
    return read_range(request.headers.get("Range", ""), size_bytes=size_bytes)


def _problem(error: CommonplaceError) -> Problem:
    problem = problem_of(error)
    assert problem is not None  # noqa: S101 - told to mypy: ours are always known
    return problem


def _refusal(problem: Problem) -> JsonResponse:
    return JsonResponse(envelope(problem), status=problem.status)
