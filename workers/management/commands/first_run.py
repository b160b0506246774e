import json
import shlex
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.embedded.first_run import FirstRun, facts_path


class Command(BaseCommand):
    help = "Print what the first run made, as shell variables: BASE, ORG, KB (the library's URL) and KEY."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            facts: FirstRun = json.loads(facts_path().read_text())
        except FileNotFoundError as error:
            raise CommandError(
                f"{facts_path()} is not there. Start the server once with `make run`, "
                "and set DATA_DIR here if it was set there."
            ) from error
        organization = f"{facts['base_url']}/orgs/{facts['organization_id']}"
        variables = {
            "BASE": facts["base_url"],
            "ORG": organization,
            "KB": f"{organization}/knowledgebases/{facts['knowledge_base_id']}",
            "KEY": facts["api_key"],
        }
        for name, value in variables.items():
            self.stdout.write(f"{name}={shlex.quote(value)}")
