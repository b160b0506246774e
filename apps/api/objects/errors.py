"""What the object store's own URLs answer when they refuse."""

from typing import Any

from apps.api.common.errors import Problem
from apps.base.errors import CommonplaceError


class BadObjectSignature(CommonplaceError):
    code = "bad_signature"
    http_status = 403
    default_message = "The URL's signature is not valid."


class WrongContentType(CommonplaceError):
    code = "wrong_content_type"
    http_status = 415
    default_message = "The Content-Type is not the one the URL was made for."


class IncompleteUpload(CommonplaceError):
    code = "incomplete_upload"
    http_status = 400
    default_message = "The body ended before its Content-Length. Nothing was stored; send it again."


class PartialUpload(IncompleteUpload):
    default_message = "A file is sent in one piece, without a Content-Range. Nothing was stored."


class UnsatisfiableRange(CommonplaceError):
    code = "range_not_satisfiable"
    http_status = 416
    default_message = "The range begins behind the end of the file."


def envelope(problem: Problem) -> dict[str, Any]:
    return {"error": {"code": problem.code, "message": problem.message}}
