"""Every embedding model converted for this machine, so that no server that a test starts has to do it: it takes a
minute and more, once. ``python -m tests.services.converted_models``; sessions that want one meanwhile wait for it."""

import os

from tests.services.topology import MODELS as FOLDER


def convert_all() -> None:
    """In the folder that every session of tests shares. Safe to repeat, and at once."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.test")
    import openvino

    from apps.retrieval.embedding.openvino_cache import converted_model
    from apps.retrieval.embedding.registry import MODELS, embedding_model

    core = openvino.Core()
    for name in MODELS:
        converted_model(embedding_model(name), FOLDER, core)


if __name__ == "__main__":
    convert_all()
