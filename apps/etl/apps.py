from django.apps import AppConfig


class EtlAppConfig(AppConfig):
    name = "apps.etl"
    label = "etl"
    verbose_name = "ETL"

    def ready(self) -> None:
        from apps.etl import firing  # noqa: F401 - hears what becomes of files
