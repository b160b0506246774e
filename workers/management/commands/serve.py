from contextlib import ExitStack
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from apps.base.valkey import Valkey
from apps.knowledge.storage import object_store
from apps.knowledge.storage.folder import FolderStore
from apps.orgs.usage import write_down_usage
from apps.retrieval import runtime
from config.checks import default_plan_exists
from config.embedded.celery_threads import running_celery
from config.embedded.data_folder import FolderInUse, exclusive, own_temporary_folder
from config.embedded.first_run import FirstRun, ensure_first_run, facts_path
from config.embedded.server import PortInUse, bind, serve, warming_up
from config.embedded.valkey import ValkeyFailed, running_valkey
from workers.stopping import stop_on_signals
from workers.sweeping import sweep


class Command(BaseCommand):
    help = "Run the whole of Commonplace in this process, on one data folder. Ctrl-C stops it."

    def handle(self, *args: Any, **options: Any) -> None:
        with ExitStack() as stack:
            try:
                stack.enter_context(exclusive(settings.DATA_DIR))
                listener = stack.enter_context(bind())
            except (FolderInUse, PortInUse) as error:
                raise CommandError(str(error)) from error
            own_temporary_folder(settings.DATA_DIR)
            if isinstance(store := object_store(), FolderStore):
                store.discard_incoming()
            call_command("migrate", verbosity=0)
            for fault in default_plan_exists():
                raise CommandError(f"{fault.msg} {fault.hint}")
            facts = ensure_first_run()
            stop_on_signals()
            if not settings.BROKER_URL:
                self._start_broker(stack)
            stack.callback(runtime.close)
            sweep(at_start=True)
            stack.enter_context(running_celery())
            stack.enter_context(warming_up())
            self._greet(facts)
            serve(listener)
            self.stdout.write("Stopping…")
        self.stdout.write("Stopped.")

    def _start_broker(self, stack: ExitStack) -> None:
        if (
            settings.VALKEY_SOCKET.exists()
        ):  # a server that was killed left its Valkey behind, with what it counted
            write_down_usage(Valkey(settings.VALKEY_URL))
        try:
            stack.enter_context(
                running_valkey(
                    settings.VALKEY_SOCKET.parent,
                    settings.VALKEY_SOCKET,
                    on_restart=lambda: sweep(is_queue_new=True),
                )
            )
        except ValkeyFailed as error:
            raise CommandError(str(error)) from error
        stack.callback(write_down_usage)

    def _greet(self, facts: FirstRun | None) -> None:
        lines = [f"Commonplace serves on {settings.PUBLIC_URL}"]
        if facts:
            lines += [
                f"  log in as  {facts['email']}  with password  {facts['password']}",
                f"  API key    {facts['api_key']}",
                f"  kept in    {facts_path()}",
            ]
        else:
            lines.append(f"  login and API key are in {facts_path()}")
        self.stdout.write("\n".join(lines))
