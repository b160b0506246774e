"""Reading the notifications that S3, and stores that speak its dialect, send about their objects."""

import json
from collections.abc import Iterator
from urllib.parse import unquote_plus


def created_keys(body: str) -> Iterator[str]:
    """The keys of objects that a notification says were created.

    Bare S3 events and those wrapped by SNS are read; a test event, or what is not JSON, yields nothing.
    """
    try:
        message = json.loads(body)
        if isinstance(message, dict) and isinstance(message.get("Message"), str):
            message = json.loads(message["Message"])
    except ValueError:
        return
    records = message.get("Records") if isinstance(message, dict) else None
    for record in records if isinstance(records, list) else []:
        try:
            name, key = record["eventName"], record["s3"]["object"]["key"]
        except (KeyError, TypeError):
            continue
        if isinstance(name, str) and isinstance(key, str) and "ObjectCreated" in name:
            yield unquote_plus(key)
