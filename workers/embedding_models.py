"""Embedding models that are loaded before a file needs them."""

import logging
from functools import cache

from django.conf import settings

from apps.base.errors import CommonplaceError
from apps.knowledge.knowledge_bases import models_in_use
from apps.retrieval.runtime import get_embedder

logger = logging.getLogger(__name__)


@cache
def begin_with_other_models() -> None:
    """Once in a process: begin to load the models that knowledge bases have beside the default one. Where none has
    another nothing is loaded, and of the others nothing is waited for."""
    for model in models_in_use() - {settings.EMBEDDING_MODEL}:
        try:
            get_embedder(model).begin_loading()
        except CommonplaceError as error:
            logger.warning("%s", error.message)
