"""Start-up checks of the configuration, each with the fix."""

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connection

from apps.orgs.models import Plan

logger = logging.getLogger(__name__)


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


@register("commonplace")
def time_limits_are_in_order(**_: object) -> list[CheckMessage]:
    """A parse ends before its worker is killed, and its worker before the broker sends the message again."""
    task_limit = settings.CELERY_TASK_TIME_LIMIT
    visibility = settings.CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"]
    faults: list[CheckMessage] = []
    if task_limit <= settings.PARSE_TIMEOUT_SECONDS:
        faults.append(
            Error(
                f"TASK_TIME_LIMIT_SECONDS ({task_limit}) is not more than PARSE_TIMEOUT_SECONDS "
                f"({settings.PARSE_TIMEOUT_SECONDS:g}): workers would be killed over files that may take so long.",
                hint="Raise TASK_TIME_LIMIT_SECONDS: embedding takes time beside parsing.",
                id="commonplace.E101",
            )
        )
    if visibility <= task_limit:
        faults.append(
            Error(
                f"The broker's visibility_timeout ({visibility} s) is not more than the task time limit "
                f"({task_limit} s): a message would go to a second worker while the first still has it.",
                hint="Raise visibility_timeout in CELERY_BROKER_TRANSPORT_OPTIONS.",
                id="commonplace.E102",
            )
        )
    return faults


@register("commonplace")
def calls_can_be_counted(**_: object) -> list[CheckMessage]:
    faults: list[CheckMessage] = []
    if not settings.VALKEY_URL.startswith(("redis://", "rediss://", "unix://")):
        faults.append(
            Error(
                "Calls can't be counted: VALKEY_URL is not set, and the broker is no Redis or Valkey.",
                hint="Set VALKEY_URL to redis://host:6379/0.",
                id="commonplace.E103",
            )
        )
    if settings.RATE_LIMITS_WHEN_DOWN not in {"open", "closed"}:
        faults.append(
            Error(
                f"RATE_LIMITS_WHEN_DOWN is '{settings.RATE_LIMITS_WHEN_DOWN}'.",
                hint="Set RATE_LIMITS_WHEN_DOWN to open or closed.",
                id="commonplace.E104",
            )
        )
    return faults


@register("commonplace")
def language_model_is_complete(**_: object) -> list[CheckMessage]:
    """Warnings: a server of one model needs no name for it, and one of one's own costs nothing."""
    doubts: list[CheckMessage] = []
    if settings.LLM_BASE_URL and not settings.LLM_MODEL:
        doubts.append(
            Warning(
                "LLM_BASE_URL is set and LLM_MODEL is not: most servers will refuse agents that name no model.",
                hint="Set LLM_MODEL to the name of a model of that server.",
                id="commonplace.W105",
            )
        )
    if settings.LLM_BASE_URL and settings.LLM_API_KEY and not settings.LLM_MAX_TOKENS_PER_MONTH:
        doubts.append(
            Warning(
                "The language model wants a key, and organizations may use any number of its tokens, unless their "
                "plan says otherwise.",
                hint="Set LLM_MAX_TOKENS_PER_MONTH, or a number in every plan in the admin site.",
                id="commonplace.W106",
            )
        )
    return doubts


@register("commonplace", deploy=True)
def default_plan_exists(**_: object) -> list[CheckMessage]:
    """Needs the database, so that it is asked by ``check --deploy`` and at the start of a process, and not before a
    migration that may bring the plan. Nothing where the database is away or empty: that tells of itself."""
    try:
        plans = list(Plan.objects.order_by("name").values_list("name", flat=True))
    except DatabaseError:
        return []
    finally:
        if not connection.in_atomic_block:
            connection.close()  # processes that are forked from this one must not share it
    if not plans or settings.DEFAULT_PLAN in plans:
        return []
    return [
        Error(
            f"DEFAULT_PLAN is '{settings.DEFAULT_PLAN}', and there is no such plan.",
            hint=f"Set DEFAULT_PLAN to one of {', '.join(plans)}, or make the plan in the admin site.",
            id="commonplace.E107",
        )
    ]


def refuse_to_start_incomplete() -> None:
    """For processes that run no checks by themselves. Raises ImproperlyConfigured with every fault and its fix; what is
    only doubtful is logged."""
    # In a thread: an ASGI server imports its application from inside its event loop, where no query may be made.
    with ThreadPoolExecutor(1) as thread:
        told = thread.submit(run_checks, tags=["commonplace"], include_deployment_checks=True).result()
    faults = [fault for fault in told if fault.is_serious()]
    for doubt in told:
        if doubt not in faults:
            logger.warning("%s %s", doubt.msg, doubt.hint)
    if faults:
        raise ImproperlyConfigured("\n".join(f"{fault.msg} {fault.hint}" for fault in faults))
