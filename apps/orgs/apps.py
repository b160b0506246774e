from django.apps import AppConfig


class OrgsConfig(AppConfig):
    name = "apps.orgs"
    label = "orgs"
    verbose_name = "Organizations"

    def ready(self) -> None:
        from apps.orgs import accounts  # noqa: F401 - hears what accounts announce
