"""Objects in S3, or a store that speaks it; clients reach it by presigned URLs."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.utils.http import content_disposition_header
from storages.backends.s3 import S3Storage

from apps.knowledge.storage.contracts import ObjectMissing, ObjectStat, StoreUnavailable

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

    def stat(self, key: str) -> ObjectStat | None:
        with _faults():
            try:
                head = self._client.head_object(Bucket=self.bucket_name, Key=key)
            except ClientError as error:
                if _code(error) in GONE:
                    return None
                raise
        return ObjectStat(head["ContentLength"], head["ETag"].strip('"'))

    @contextmanager
    def local_copy(self, key: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="commonplace-") as folder:
            path = Path(folder) / "object"
            with _faults():
                try:
                    self._client.download_file(self.bucket_name, key, str(path))
                except ClientError as error:
                    if _code(error) in GONE:
                        raise ObjectMissing from error
                    raise
            yield path

    def remove(self, key: str) -> None:
        with _faults():
            self._client.delete_object(Bucket=self.bucket_name, Key=key)

    def keys(self, prefix: str = "") -> Iterator[str]:
        with _faults():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket_name, Prefix=prefix
            )
            for page in pages:
                yield from (item["Key"] for item in page.get("Contents", []))

    @property
    def _client(self) -> Any:
        return self.bucket.meta.client

    def _presign(self, operation: str, parameters: dict[str, str], seconds: int) -> str:
        with _faults():  # the credentials may have to be fetched
            url: str = self._client.generate_presigned_url(
                operation, Params={"Bucket": self.bucket_name, **parameters}, ExpiresIn=seconds
            )
        return url


@contextmanager
def _faults() -> Iterator[None]:
    """What boto3 raises when the store is away or unwell, as our own retryable error."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StoreUnavailable(f"The object store does not answer ({type(error).__name__}).") from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
