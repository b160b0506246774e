"""Embedding models that are loaded before a file needs them."""

import logging
from functools import cache

from apps.base.errors import CommonplaceError
from apps.knowledge.knowledge_bases import other_models_in_use
from apps.retrieval.runtime import get_embedder

logger = logging.getLogger(__name__)


@cache
def begin_with_other_models() -> None:
    """Once in a process: begin to load the models that knowledge bases have beside the default one. Where none has
    another nothing is loaded, and of the others nothing is waited for."""
    for model in other_models_in_use():
        try:
            get_embedder(model).begin_loading()
        except CommonplaceError as error:
            logger.warning("%s", error.message)
