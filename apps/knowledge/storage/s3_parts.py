"""Uploads in parts, by S3's own calls."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from botocore.exceptions import ClientError

from apps.knowledge.storage.contracts import Part, PartClaim, PartsRefused, UploadMissing
from apps.knowledge.storage.s3_faults import code_of, faults_told

GONE = {"NoSuchUpload", "NoSuchKey", "404"}
REFUSED = {"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML"}


class S3Parts:
    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def begin(self, key: str, *, content_type: str, part_bytes: int) -> str:  # noqa: ARG002 - any size will do
        with faults_told():
            begun = self._client.create_multipart_upload(
                Bucket=self._bucket, Key=key, ContentType=content_type
            )
        return str(begun["UploadId"])

    def presign_part(self, key: str, upload_id: str, number: int, *, seconds: int) -> str:
        with faults_told():
            url: str = self._client.generate_presigned_url(
                "upload_part", Params=self._of(key, upload_id) | {"PartNumber": number}, ExpiresIn=seconds
            )
        return url

    def parts(self, key: str, upload_id: str) -> list[Part]:
        with self._of_this_upload():
            pages = self._client.get_paginator("list_parts").paginate(**self._of(key, upload_id))
            return [
                Part(part["PartNumber"], part["Size"], part["ETag"].strip('"'))
                for page in pages
                for part in page.get("Parts", [])
            ]

    def complete(self, key: str, upload_id: str, parts: Sequence[PartClaim]) -> None:
        listed = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        with self._of_this_upload():
            self._client.complete_multipart_upload(
                **self._of(key, upload_id), MultipartUpload={"Parts": listed}
            )

    def abort(self, key: str, upload_id: str) -> None:
        with suppress(UploadMissing), self._of_this_upload():
            self._client.abort_multipart_upload(**self._of(key, upload_id))

    def unfinished(self, prefix: str = "") -> Iterator[tuple[str, str]]:
        with faults_told():
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            for page in pages:
                yield from ((upload["Key"], upload["UploadId"]) for upload in page.get("Uploads", []))

    def _of(self, key: str, upload_id: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": key, "UploadId": upload_id}

    @contextmanager
    def _of_this_upload(self) -> Iterator[None]:
        """Raises UploadMissing, PartsRefused, StoreUnavailable."""
        with faults_told():
            try:
                yield
            except ClientError as error:
                if code_of(error) in GONE:
                    raise UploadMissing from error
                if code_of(error) in REFUSED:
                    raise PartsRefused from error
                raise
