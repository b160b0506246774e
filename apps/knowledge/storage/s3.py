"""Objects in S3, or a store that speaks it; clients reach it by presigned URLs."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from boto3.s3.transfer import TransferConfig, create_transfer_manager
from botocore.exceptions import ClientError
from django.utils.http import content_disposition_header
from storages.backends.s3 import S3Storage

from apps.knowledge.storage.contracts import ObjectCopy, ObjectMissing, ObjectReplaced, ObjectStat
from apps.knowledge.storage.s3_faults import code_of, faults_told
from apps.knowledge.storage.s3_parts import S3Parts

COPY_BYTES = 8 * 1024**2  # copied between two looks at the lease
# A copy of more is made in parts: S3 takes up to 5 GB in one call, and answers it too late for our patience.
WHOLE_COPY_BYTES, COPY_PART_BYTES = 256 * 1024**2, 128 * 1024**2
COPY_POLL_SECONDS = 0.2
GONE = {"404", "NoSuchKey", "NotFound"}
CHANGED = {"PreconditionFailed", "412"}


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

    def copy(
        self,
        source: str,
        target: str,
        *,
        content_type: str,
        on_progress: Callable[[], object] = lambda: None,
    ) -> ObjectCopy:
        found = self.stat(source)
        if found is None:
            raise ObjectMissing
        how = {
            "ContentType": content_type,
            "MetadataDirective": "REPLACE",
            "CopySourceIfMatch": f'"{found.etag}"',
        }
        with faults_told():
            try:
                if found.size_bytes <= WHOLE_COPY_BYTES:
                    self._client.copy_object(
                        Bucket=self.bucket_name, Key=target, CopySource=self._named(source), **how
                    )
                else:
                    self._copy_in_parts(source, target, how, on_progress)
            except ClientError as error:
                if code_of(error) in GONE:
                    raise ObjectMissing from error
                if code_of(error) in CHANGED:
                    raise ObjectReplaced from error
                raise
        copied = self.stat(target)
        if copied is None:  # deleted in this moment
            raise ObjectMissing
        return ObjectCopy(found.etag, copied)

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

    def _copy_in_parts(
        self, source: str, target: str, how: dict[str, str], on_progress: Callable[[], object]
    ) -> None:
        """By boto3, several parts at once. Not by its ``copy``, which calls nobody in our thread."""
        for key, upload_id in self.multipart.unfinished(target):  # of an attempt that was killed
            self.multipart.abort(key, upload_id)
        config = TransferConfig(
            multipart_threshold=WHOLE_COPY_BYTES, multipart_chunksize=COPY_PART_BYTES, max_concurrency=4
        )
        with create_transfer_manager(self._client, config) as transfers:  # which ends them when this raises
            transfer = transfers.copy(self._named(source), self.bucket_name, target, extra_args=how)
            while not transfer.done():
                time.sleep(COPY_POLL_SECONDS)
                on_progress()
            transfer.result()

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self.bucket_name, "Key": key}

    @property
    def _client(self) -> Any:
        return self.bucket.meta.client

    def _presign(self, operation: str, parameters: dict[str, str], seconds: int) -> str:
        with faults_told():  # the credentials may have to be fetched
            url: str = self._client.generate_presigned_url(
                operation, Params={"Bucket": self.bucket_name, **parameters}, ExpiresIn=seconds
            )
        return url
