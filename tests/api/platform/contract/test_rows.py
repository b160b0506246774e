"""Nothing of the contract is left out, and nothing in this list of it is made up."""

import inspect
import pkgutil
import re
from importlib import import_module

from apps.api.dialects import PLATFORM
from tests.api.platform import contract
from tests.api.platform.contract.rows import PROMISES, ROWS
from tests.api.test_schema import document


def kept() -> str:
    """What the tests of this package quote, on one line."""
    docstrings = []
    for module in pkgutil.iter_modules(contract.__path__):
        if module.name.startswith("test_"):
            found = vars(import_module(f"{contract.__name__}.{module.name}"))
            docstrings += [inspect.getdoc(it) or "" for name, it in found.items() if name.startswith("test_")]
    return " ".join(" ".join(docstrings).split())


def test_every_row_and_every_promise_is_kept_by_a_test() -> None:
    quoted = kept()
    assert [row for row in ROWS if f"`{row}`" not in quoted] == []
    assert [promise for promise in PROMISES if f"“{promise}”" not in quoted] == []


def test_every_call_of_a_row_is_an_operation() -> None:
    told = {
        f"{method.upper()} {re.sub('{[a-zA-Z]+}', '{}', path)}"
        for path, methods in document(PLATFORM)["paths"].items()
        for method in methods
    }
    assert [call for calls in ROWS.values() for call in calls if call not in told] == []
