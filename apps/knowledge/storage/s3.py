"""Objects in S3, or a store that speaks it; clients reach it by presigned URLs."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from botocore.exceptions import ClientError
from django.utils.http import content_disposition_header
from storages.backends.s3 import S3Storage

from apps.knowledge.storage.contracts import ObjectMissing, ObjectStat
from apps.knowledge.storage.s3_faults import code_of, faults_told
from apps.knowledge.storage.s3_parts import S3Parts

COPY_BYTES = 8 * 1024**2  # copied between two looks at the lease
GONE = {"404", "NoSuchKey", "NotFound"}


class S3Store(S3Storage):
    upload_urls_can_be_repeated = True

    def presign_put(self, key: str, *, content_type: str, seconds: int) -> str:
        return self._presign("put_object", {"Key": key, "ContentType": content_type}, seconds)

    def presign_get(self, key: str, *, file_name: str, content_type: str, seconds: int) -> str:
        disposition = content_disposition_header(as_attachment=True, filename=file_name)
        return self._presign(
            "get_object",
            {"Key": key, "ResponseContentDisposition": disposition, "ResponseContentType": content_type},
            seconds,
        )

    @property
    def multipart(self) -> S3Parts:
        return S3Parts(self._client, self.bucket_name)

    def write(self, key: str, source: BinaryIO, *, content_type: str) -> None:
        with faults_told():  # in parts by itself where it is large, several at once
            self._client.upload_fileobj(
                source, self.bucket_name, key, ExtraArgs={"ContentType": content_type}
            )

    def stat(self, key: str) -> ObjectStat | None:
        with faults_told():
            try:
                head = self._client.head_object(Bucket=self.bucket_name, Key=key)
            except ClientError as error:
                if code_of(error) in GONE:
                    return None
                raise
        return ObjectStat(head["ContentLength"], head["ETag"].strip('"'))

    @contextmanager
    def local_copy(self, key: str, *, on_progress: Callable[[], object] = lambda: None) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="commonplace-") as folder:
            path = Path(folder) / "object"
            with faults_told():
                try:
                    answer = self._client.get_object(Bucket=self.bucket_name, Key=key)
                except ClientError as error:
                    if code_of(error) in GONE:
                        raise ObjectMissing from error
                    raise
                # Not boto3's download_file: gigabytes outlast a lease, and it calls nobody in our thread.
                with closing(answer["Body"]) as body, path.open("wb") as copy:
                    for piece in body.iter_chunks(COPY_BYTES):
                        copy.write(piece)
                        on_progress()
            yield path

    def remove(self, key: str) -> None:
        with faults_told():
            self._client.delete_object(Bucket=self.bucket_name, Key=key)

    def keys(self, prefix: str = "") -> Iterator[str]:
        with faults_told():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket_name, Prefix=prefix
            )
            for page in pages:
                yield from (item["Key"] for item in page.get("Contents", []))

    @property
    def _client(self) -> Any:
        return self.bucket.meta.client

    def _presign(self, operation: str, parameters: dict[str, str], seconds: int) -> str:
        with faults_told():  # the credentials may have to be fetched
            url: str = self._client.generate_presigned_url(
                operation, Params={"Bucket": self.bucket_name, **parameters}, ExpiresIn=seconds
            )
        return url
