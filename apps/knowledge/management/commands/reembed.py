import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import QuerySet
from tqdm import tqdm

from apps.base.errors import CommonplaceError
from apps.knowledge.models import KnowledgeBase
from apps.knowledge.reembedding.models import UNFINISHED, Reembedding, ReembeddingStatus
from apps.knowledge.reembedding.requests import cancel, is_done, reembed
from apps.orgs.scope import system_scope, tenant_scope
from apps.retrieval.embedding.registry import MODELS

NOT_ALL, INTERRUPTED = 1, 130
POLL_SECONDS = 1.0
TELL_SECONDS = 10.0  # between two lines about the progress, where there is no terminal to draw it on
STILL_SECONDS = 120.0  # without any progress, after which it is said that perhaps nobody works


class Command(BaseCommand):
    help = (
        "Have knowledge bases embedded by another model, in the background, and searched by it when all is there. "
        "The workers do it; this command asks, and watches. Run again, it goes on watching. "
        "Exit code 0: done; 1: some failed or were cancelled; 130: interrupted, and the workers go on."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--model", required=True, choices=list(MODELS))
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--knowledge-base", metavar="ID")
        which.add_argument("--organization", metavar="ID", help="All of its knowledge bases.")
        which.add_argument("--all", action="store_true", help="Every knowledge base there is.")
        parser.add_argument(
            "--no-wait", dest="is_waiting", action="store_false", help="Ask, and leave it to the workers."
        )
        parser.add_argument("--wait", dest="is_waiting", action="store_true", help="Watch it; the default.")
        parser.add_argument("--cancel", action="store_true", help="Call off what is under way to that model.")
        parser.set_defaults(is_waiting=True)

    def handle(self, *args: Any, **options: Any) -> None:
        with system_scope("reembed"):
            bases = list(_chosen(options).order_by("organization_id", "pk"))
        if not bases:
            raise CommandError("There is no such knowledge base.")
        if options["cancel"]:
            self._cancel(bases, options["model"])
            return
        wishes, refused = [], 0
        for base in bases:
            with tenant_scope(base.organization_id):
                try:
                    if is_done(base, options["model"]):
                        self.stdout.write(f"{base.pk}: has {options['model']} already.")
                        continue
                    wishes.append(reembed(base, options["model"]).pk)
                except CommonplaceError as error:
                    refused += 1
                    self.stderr.write(f"{base.pk} {base.title!r}: {error.message}")
        if wishes:
            self.stdout.write(f"Being re-embedded by {options['model']}: {len(wishes)} of {len(bases)}.")
        failed = 0
        if options["is_waiting"] and wishes:
            try:
                failed = self._watch(wishes)
            except KeyboardInterrupt:
                self.stdout.write("The workers go on; run this again to watch them.")
                sys.exit(INTERRUPTED)
        if refused or failed:
            raise CommandError(f"Not switched: {refused + failed} of {len(bases)}.", returncode=NOT_ALL)

    def _cancel(self, bases: list[KnowledgeBase], model: str) -> None:
        cancelled = 0
        for base in bases:
            with tenant_scope(base.organization_id):
                if base.reembeddings.filter(status__in=UNFINISHED, to_model=model).exists():
                    cancel(base)
                    cancelled += 1
        self.stdout.write(f"Cancelled: {cancelled} of {len(bases)}.")

    def _watch(self, wishes: list[int]) -> int:
        """Until all have ended; returns how many without success."""
        told: set[int] = set()
        still_since = told_at = time.monotonic()
        # tqdm writes to the real stderr; without a terminal there are lines instead.
        with tqdm(total=None, unit="file", disable=None) as bar:
            while True:
                with system_scope("reembed"):
                    rows = list(Reembedding.objects.filter(pk__in=wishes))
                done, total = sum(row.files_done for row in rows), sum(row.files_total for row in rows)
                passages = sum(row.chunks_done for row in rows)
                if done != bar.n:
                    still_since = time.monotonic()
                bar.total, bar.n = total, done
                bar.set_postfix(passages=passages, refresh=False)
                bar.refresh()
                if bar.disable and time.monotonic() - told_at > TELL_SECONDS:
                    told_at = time.monotonic()
                    self.stdout.write(f"{done} of {total} files, {passages} passages.")
                for row in rows:
                    if row.status not in UNFINISHED and row.pk not in told:
                        told.add(row.pk)
                        bar.write(
                            f"{row.knowledge_base_id}: {row.status} {row.error}".strip(), file=self.stdout
                        )
                if len(told) == len(rows):
                    return sum(row.status != ReembeddingStatus.SUCCEEDED for row in rows)
                if time.monotonic() - still_since > STILL_SECONDS:
                    still_since = time.monotonic()
                    waits_for = next((f" The last error: {row.error}" for row in rows if row.error), "")
                    bar.write(
                        'Nothing moves. Is the server, or a worker of the queue "reembedding", running?'
                        + waits_for,
                        file=self.stderr,
                    )
                time.sleep(POLL_SECONDS)


def _chosen(options: dict[str, Any]) -> QuerySet[KnowledgeBase]:
    bases: QuerySet[KnowledgeBase] = KnowledgeBase.objects.all()
    if options["knowledge_base"]:
        return bases.filter(pk=options["knowledge_base"])
    if options["organization"]:
        return bases.filter(organization_id=options["organization"])
    return bases
