from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "apps.api"
    label = "api"
    verbose_name = "HTTP API"

    def ready(self) -> None:
        from apps.api.common import openapi  # noqa: F401 - tells the schema generator of our authentication
