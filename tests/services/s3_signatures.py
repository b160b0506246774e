"""What S3 does with a presigned URL before it takes the bytes, and the server of the tests does not."""

import hashlib
import hmac
import os
from urllib.parse import parse_qsl, quote, urlsplit


def would_accept(url: str, *, method: str, content_type: str) -> bool:
    """Whether the URL's signature (Signature Version 4, by query) is one of this call, with this Content-Type.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    signature = query.pop("X-Amz-Signature")
    headers = {"content-type": content_type, "host": parts.netloc}
    signed = query["X-Amz-SignedHeaders"].split(";")
    canonical = "\n".join(
        (
            method,
            parts.path,
            "&".join(
                f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items())
            ),
            *(f"{name}:{headers[name]}" for name in signed),
            "",
            ";".join(signed),
            "UNSIGNED-PAYLOAD",
        )
    )
    _, scope = query["X-Amz-Credential"].split("/", 1)
    said = (
        query["X-Amz-Algorithm"],
        query["X-Amz-Date"],
        scope,
        hashlib.sha256(canonical.encode()).hexdigest(),
    )
    key = f"AWS4{os.environ['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in (*scope.split("/"), "\n".join(said)):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(key.hex(), signature)
