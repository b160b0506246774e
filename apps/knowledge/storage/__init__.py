"""Where the bytes are. ``object_store()`` is the one that the settings name."""

from typing import cast

from django.core.files.storage import storages

from apps.knowledge.storage.contracts import ObjectStore


def object_store() -> ObjectStore:
    return cast(ObjectStore, storages["objects"])
