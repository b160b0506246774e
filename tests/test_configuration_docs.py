"""docs/configuration.md and the settings name the same variables."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "configuration.md").read_text()
# Read by Django or Celery before there are settings.
READ_ELSEWHERE = {"DJANGO_SETTINGS_MODULE"}


def _is_environment(node: ast.expr) -> bool:
    """``env``, ``env.str``, ``os.environ``, ``os.environ.get``, ``os.getenv``."""
    return any(
        isinstance(part, (ast.Name, ast.Attribute))
        and (part.id if isinstance(part, ast.Name) else part.attr) in {"env", "environ", "getenv"}
        for part in ast.walk(node)
    )


def _read_variables(path: Path) -> set[str]:
    """The names of all variables that a module reads from the environment."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        name: ast.expr | None = None
        if isinstance(node, ast.Call) and _is_environment(node.func) and node.args:
            name = node.args[0]
        elif isinstance(node, ast.Subscript) and _is_environment(node.value):
            name = node.slice
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            names.add(name.value)
    return names


def _settings_modules() -> list[Path]:
    return sorted((ROOT / "config" / "settings").glob("*.py"))


def _documented() -> set[str]:
    """The first column of every table."""
    return set(re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \|", PAGE, re.MULTILINE))


@pytest.mark.parametrize("module", _settings_modules(), ids=lambda path: path.name)
def test_every_variable_that_settings_read_is_documented(module: Path) -> None:
    assert _read_variables(module) <= _documented()


def test_every_documented_variable_is_read() -> None:
    read = set().union(*map(_read_variables, _settings_modules()))
    assert {"DATA_DIR", "SECURE_HSTS_SECONDS"} <= read  # base.py and production.py are understood
    assert _documented() == read | READ_ELSEWHERE


def test_production_names_only_documented_variables_as_required() -> None:
    from config.settings import production

    assert set(production.REQUIRED_VARIABLES) <= _documented()
