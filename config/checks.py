"""Start-up checks of the configuration, each with the fix."""

import os
from typing import Any, cast

from django.conf import settings
from django.core.checks import CheckMessage, Error, register, run_checks
from django.core.exceptions import ImproperlyConfigured


@register("commonplace")
def required_variables_are_set(**_: object) -> list[CheckMessage]:
    required: dict[str, str] = getattr(settings, "REQUIRED_VARIABLES", {})
    return [
        Error(
            f"The environment variable {name} is not set.",
            hint=f"Set {name} to {meaning}.",
            id=f"commonplace.E{number:03}",
        )
        for number, (name, meaning) in enumerate(required.items(), start=1)
        if not os.environ.get(name)
    ]


@register("commonplace")
def object_store_is_complete(**_: object) -> list[CheckMessage]:
    store = cast(dict[str, Any], settings.STORAGES["objects"])
    if settings.OBJECT_STORE == "s3" and not store["OPTIONS"]["bucket_name"]:
        return [
            Error(
                "OBJECT_STORE is s3 but S3_BUCKET is not set.", hint="Set S3_BUCKET.", id="commonplace.E100"
            )
        ]
    return []


def refuse_to_start_incomplete() -> None:
    """For processes that run no checks by themselves. Raises ImproperlyConfigured with every fault and its fix."""
    faults = [fault for fault in run_checks(tags=["commonplace"]) if fault.is_serious()]
    if faults:
        raise ImproperlyConfigured("\n".join(f"{fault.msg} {fault.hint}" for fault in faults))
