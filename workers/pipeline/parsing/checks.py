"""Django system checks of the parsing room: every parser imports, every type has one, OCR has its languages.

``WorkersConfig.ready`` calls ``register_checks``; the checks run with ``manage.py check`` and at start.
"""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from apps.knowledge.media_types import MEDIA_TYPES
from workers.pipeline.errors import OcrLanguageMissing
from workers.pipeline.parsing.ocr_engine import find_engine
from workers.pipeline.parsing.registry import PARSERS, load_parser


def register_checks() -> None:
    register(check_parsers)
    register(check_ocr)


def check_parsers(
    app_configs: Sequence[AppConfig] | None,  # noqa: ARG001  (Django's signature)
    **kwargs: Any,  # noqa: ARG001
) -> list[CheckMessage]:
    errors: list[CheckMessage] = []
    for media_type, dotted_path in PARSERS.items():
        try:
            load_parser(dotted_path)
        except (ImportError, AttributeError) as error:
            errors.append(
                Error(
                    f"The parser of {media_type} can't be imported: {error}",
                    hint="Install the dependencies again, or correct PARSERS in the parsing registry.",
                    obj=dotted_path,
                    id="workers.E001",
                )
            )
    declared = {media.name for media in MEDIA_TYPES}
    errors += [
        Error(
            f"{media_type} is in one of the tables of media types and parsers, and not in the other.",
            id="workers.E002",
        )
        for media_type in sorted(declared ^ PARSERS.keys())
    ]
    return errors


def check_ocr(
    app_configs: Sequence[AppConfig] | None,  # noqa: ARG001
    **kwargs: Any,  # noqa: ARG001
) -> list[CheckMessage]:
    try:
        find_engine(tuple(settings.OCR_LANGUAGES))
    except OcrLanguageMissing as error:
        return [Error(error.message, hint="Install them, or change OCR_LANGUAGES.", id="workers.E003")]
    return []
