from django.apps import AppConfig
from django.db.models.signals import post_migrate


class EventsConfig(AppConfig):
    name = "apps.events"
    label = "events"

    def ready(self) -> None:
        from apps.events import receivers  # noqa: F401 - hears what organizations announce
        from apps.events.append_only import install_triggers

        post_migrate.connect(install_triggers, sender=self)
