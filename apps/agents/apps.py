from django.apps import AppConfig
from django.core.checks import register


class AgentsConfig(AppConfig):
    name = "apps.agents"
    label = "agents"
    verbose_name = "Agents"

    def ready(self) -> None:
        from apps.agents import waiting  # noqa: F401 - its receiver
        from apps.agents.checks import check_registries

        register(check_registries)
