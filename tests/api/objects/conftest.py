from pathlib import Path

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """These URLs are the folder store's: in a session on the full stack S3 serves its own, and there is
    nothing here to ask but what the platform dialect's tests ask."""
    if config.getoption("topology") == "embedded":
        return
    here = Path(__file__).parent
    folder_only = [item for item in items if here in item.path.parents]
    items[:] = [item for item in items if item not in folder_only]
    config.hook.pytest_deselected(items=folder_only)
