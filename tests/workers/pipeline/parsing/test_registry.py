"""The tables: every type that can be uploaded has a parser that imports."""

import pytest
from django.test import override_settings

from apps.knowledge.media_types import MEDIA_TYPES
from workers.pipeline.errors import UnsupportedType
from workers.pipeline.parsing.checks import check_ocr, check_parsers
from workers.pipeline.parsing.registry import PARSERS, parser_path

pytestmark = pytest.mark.once


def test_every_type_has_a_parser_that_imports() -> None:
    assert {media.name for media in MEDIA_TYPES} == set(PARSERS)
    assert check_parsers(None) == []


def test_parser_that_does_not_import_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARSERS, "application/pdf", "workers.pipeline.parsing.gone.parse")
    assert [error.id for error in check_parsers(None)] == ["workers.E001"]


def test_missing_ocr_language_is_reported() -> None:
    assert check_ocr(None) == []
    with override_settings(OCR_LANGUAGES=("eng", "tlh")):
        (error,) = check_ocr(None)
        assert "tlh" in error.msg


def test_unknown_type_is_unsupported() -> None:
    with pytest.raises(UnsupportedType):
        parser_path("application/x-unknown")
