from django.apps import AppConfig


class WorkersConfig(AppConfig):
    name = "workers"
    label = "workers"

    def ready(self) -> None:
        from workers.pipeline.parsing.checks import register_checks

        register_checks()
