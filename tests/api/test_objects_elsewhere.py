"""Where another store serves its own URLs, this service has no objects to give or take."""

from django.conf import settings
from django.test import Client, override_settings

from apps.knowledge.models import File
from apps.knowledge.storage.signatures import Grant, seal

S3 = {
    "BACKEND": "apps.knowledge.storage.s3.S3Store",
    "OPTIONS": {"bucket_name": "objects", "endpoint_url": "http://127.0.0.1:9", "region_name": "us-east-1"},
}


def test_object_urls_are_unknown_however_well_they_are_signed(waiting_file: File) -> None:
    with override_settings(STORAGES=settings.STORAGES | {"objects": S3}):
        for method in ("PUT", "GET", "HEAD"):
            token = seal(Grant(method.replace("HEAD", "GET"), waiting_file.key, "text/plain", 2**40))
            answer = Client().generic(
                method, f"/objects/{waiting_file.key}?token={token}", b"x", "text/plain"
            )
            assert answer.status_code == 404, method
            assert answer["Content-Type"] == "application/json"
