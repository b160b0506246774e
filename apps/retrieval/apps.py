from django.apps import AppConfig


class RetrievalConfig(AppConfig):
    """Retrieval has no models: its rows are the points of the vector index."""

    name = "apps.retrieval"
    label = "retrieval"

    def ready(self) -> None:
        from apps.retrieval import checks  # noqa: F401 - registers itself
