"""The HTTP dialects: a table that routing, errors outside any view, the schema pages and the tests read.

Adding one is a package with ``urls`` and ``errors.envelope``, and a row here.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from django.utils.module_loading import import_string

from apps.api.common.errors import Problem
from apps.api.platform.schema import SETTINGS as PLATFORM_SCHEMA


@dataclass(frozen=True, slots=True)
class Dialect:
    """``prefixes`` are the paths it owns, ``urlconf`` has its routes with their full paths, ``envelope`` is
    the dotted path of the function that gives an error its form."""

    name: str
    prefixes: tuple[str, ...]
    urlconf: str
    envelope: str
    schema_settings: dict[str, Any] = field(default_factory=dict)

    def owns(self, path: str) -> bool:
        return any(path == prefix or path.startswith(f"{prefix}/") for prefix in self.prefixes)

    def render_problem(self, problem: Problem) -> dict[str, Any]:
        render = cast(Callable[[Problem], dict[str, Any]], import_string(self.envelope))
        return render(problem)


PLATFORM = Dialect(
    name="platform",
    prefixes=("/orgs", "/invitations"),
    urlconf="apps.api.platform.urls",
    envelope="apps.api.platform.errors.envelope",
    schema_settings=PLATFORM_SCHEMA,
)

DIALECTS: tuple[Dialect, ...] = (PLATFORM,)


def dialect_of(path: str) -> Dialect | None:
    """The dialect that a path belongs to, whether or not there is anything at it."""
    return next((dialect for dialect in DIALECTS if dialect.owns(path)), None)
