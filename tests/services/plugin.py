"""Pytest plugin: starts the topology named by ``--topology`` before Django is set up."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

_services = ExitStack()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--topology",
        choices=("embedded", "full"),
        default="embedded",
        help="embedded: SQLite, folder store, Qdrant Edge; full: PostgreSQL, S3, qdrant-client.",
    )
    parser.addoption("--long", action="store_true", help="Run the tests that take minutes, and only those.")


@pytest.hookimpl(wrapper=True)  # a wrapper runs before every plain hook, pytest-django's included
def pytest_load_initial_conftests(early_config: pytest.Config) -> Iterator[None]:
    from tests.services import topology

    topology.start(early_config.known_args_namespace.topology, _services)
    return (yield)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that are marked for the other topology, which would have nothing to run on, those that
    would say nothing new on a second one, and those that are longer, or shorter, than what was asked for."""
    here, wants_long = config.getoption("topology"), config.getoption("long")
    left_out = [
        item
        for item in items
        if ((mark := item.get_closest_marker("topology")) and mark.args[0] != here)
        or (here == "full" and item.get_closest_marker("once"))
        or (item.get_closest_marker("long") is not None) != wants_long
    ]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)


def pytest_unconfigure() -> None:
    _services.close()


def pytest_report_header(config: pytest.Config) -> str:
    return f"topology: {config.getoption('topology')}"
