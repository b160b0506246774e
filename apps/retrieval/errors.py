"""What can go wrong between a caller and the vectors."""

from apps.base.errors import CommonplaceError, TemporarilyUnavailable


class IndexUnavailable(TemporarilyUnavailable):
    """The vector engine is down, too slow, or refused work it will take later."""

    code = "index_unavailable"
    default_message = "The search index does not answer. Try again in a moment."


class IndexLocked(IndexUnavailable):
    """Another process has the embedded index open. It clears when that process ends."""

    code = "index_locked"
    default_message = (
        "The vector folder is in use by another process. The embedded index serves one process at a time: "
        "stop the other one, or set QDRANT_URL to share a Qdrant server."
    )


class EmbedderUnavailable(CommonplaceError):
    """The embedding model cannot be loaded or converted. Retrying without a change will not help."""

    code = "embedder_unavailable"
    default_message = "The embedding model could not be loaded."


class ModelLoading(TemporarilyUnavailable):
    """As many wait for the model already as may: it is loaded, or converted once, which takes a minute."""

    code = "model_loading"
    default_message = "The embedding model of this knowledge base is being loaded. Try again in some seconds."


class OrganizationRequired(CommonplaceError):
    """A call to the index named no organization. A fault of the caller: the index never guesses a tenant."""

    code = "organization_required"
    default_message = "An index operation needs the id of one organization."
