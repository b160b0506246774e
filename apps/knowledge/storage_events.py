"""Reading the notifications that S3, and stores that speak its dialect, send about their objects."""

import json
from collections.abc import Iterator
from urllib.parse import unquote_plus

from apps.base.errors import CommonplaceError
from apps.knowledge.uploads import NotUploadedYet, object_arrived


def act_on(body: str) -> int:
    """Queue the files whose objects a notification says were created; returns how many that queued.

    Safe to repeat and to reorder. Each object is tried, and then the first fault is raised: a CommonplaceError,
    after which the notification is to be told again.
    """
    queued, fault = 0, None
    for key in created_keys(body):
        try:
            queued += object_arrived(key)
        except NotUploadedYet:
            pass  # the object is gone again; the sweep sees to the row
        except CommonplaceError as error:
            fault = fault or error
    if fault:
        raise fault
    return queued


def created_keys(body: str) -> Iterator[str]:
    """The keys of objects that a notification says were created.

    Bare S3 events and those wrapped by SNS are read; a test event, or what is not JSON, yields nothing.
    """
    try:
        message = json.loads(body)
        if isinstance(message, dict) and isinstance(message.get("Message"), str):
            message = json.loads(message["Message"])
    except (ValueError, RecursionError):
        return
    records = message.get("Records") if isinstance(message, dict) else None
    for record in records if isinstance(records, list) else []:
        try:
            name, key = record["eventName"], record["s3"]["object"]["key"]
        except (KeyError, TypeError):
            continue
        if isinstance(name, str) and isinstance(key, str) and "ObjectCreated" in name:
            yield unquote_plus(key)
