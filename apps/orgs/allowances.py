"""How much an organization's files may ask for: the server's setting or its plan, whichever is stricter."""

from dataclasses import dataclass

from django.conf import settings

from apps.orgs.models import Plan


@dataclass(frozen=True, slots=True)
class Allowances:
    """Every bound on one file. A plan has a column for each, empty where it sets none."""

    max_file_bytes: int
    max_pages: int
    max_image_pixels: int
    max_text_chars: int
    max_expanded_bytes: int
    parse_timeout_seconds: float
    parse_memory_bytes: int


def allowances_of(organization_id: str) -> Allowances:
    """One query, needs no tenant scope. The settings alone for an organization that is no more."""
    plan = Plan.objects.filter(organizations=organization_id).first()

    def stricter(name: str) -> int:
        setting: int = getattr(settings, name.upper())
        planned: int | None = getattr(plan, name, None)
        return setting if planned is None else min(planned, setting)

    return Allowances(
        max_file_bytes=stricter("max_file_bytes"),
        max_pages=stricter("max_pages"),
        max_image_pixels=stricter("max_image_pixels"),
        max_text_chars=stricter("max_text_chars"),
        max_expanded_bytes=stricter("max_expanded_bytes"),
        parse_timeout_seconds=stricter("parse_timeout_seconds"),
        parse_memory_bytes=stricter("parse_memory_bytes"),
    )
