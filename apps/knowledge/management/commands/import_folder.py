import fcntl
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from tqdm import tqdm

from apps.accounts.models import User
from apps.knowledge.importing.folder_import import FolderImport, Result
from apps.knowledge.importing.importer import Known, Outcome, known_files, outlook
from apps.knowledge.importing.walking import Candidate, Skipped, walk
from apps.knowledge.knowledge_bases import default_library
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.statuses import FileStatus
from apps.orgs.allowances import allowances_of
from apps.orgs.models import Membership, Organization
from apps.orgs.roles import Role
from apps.orgs.scope import tenant_scope

NOT_ALL, INTERRUPTED = 1, 130
POSTPONED_SECONDS = 60.0  # how long at most files are waited for that are just being processed
TELL_EVERY_SECONDS = 5.0  # without a terminal
IN_BATCHES = 500


class Command(BaseCommand):
    help = (
        "Import a folder with all below it. Run again, it goes on where it broke off, and imports what is new "
        "or has changed since. Exit code 0: everything is in; 1: some is not; 130: interrupted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, metavar="PATH")
        parser.add_argument("--organization", metavar="ID", required=True)
        parser.add_argument("--knowledge-base", metavar="ID", help="Default: the organization's library.")
        parser.add_argument("--jobs", type=int, default=4, metavar="N", help="At once. Default: %(default)s.")
        parser.add_argument("--tag", action="append", default=[], help="For new files; may be repeated.")
        parser.add_argument(
            "--as",
            dest="name",
            metavar="NAME",
            help="What the folder is called in import paths. Default: its own name.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Tell what would be done.")
        parser.add_argument("--wait", action="store_true", help="Until all of it is READY, or an ERROR.")

    def handle(self, *args: Any, **options: Any) -> None:
        root = options["path"].resolve()
        if not root.is_dir():
            raise CommandError(f"{options['path']} is not a folder.")
        if options["jobs"] < 1:
            raise CommandError("--jobs must be 1 at least.")
        with tenant_scope(options["organization"]), _alone_in(root):
            knowledge_base, creator = _target(options["organization"], options["knowledge_base"])
            self._files, self._skipped = self._look(root, options["name"] or root.name, knowledge_base)
            known = known_files(knowledge_base)
            if options["dry_run"]:
                self._foretell(known)
                return
            job = FolderImport(
                knowledge_base=knowledge_base,
                creator=creator,
                tags=options["tag"],
                known=known,
                jobs=options["jobs"],
            )
            if job.is_broker_away:
                self.stdout.write("No broker answers: the files will be queued once the server runs.")
            self._import(job, is_waiting=options["wait"])

    def _look(
        self, root: Path, name: str, knowledge_base: KnowledgeBase
    ) -> tuple[list[Candidate], list[Skipped]]:
        files, skipped = [], []
        limit = allowances_of(knowledge_base.organization_id).max_file_bytes
        for found in walk(root, name=name, max_bytes=limit):
            if isinstance(found, Skipped):
                skipped.append(found)
                self.stdout.write(f"skipped    {_shown(found.import_path)}: {found.reason}")
            else:
                files.append(found)
        return files, skipped

    def _foretell(self, known: dict[str, Known]) -> None:
        outlooks: Counter[str] = Counter()
        for candidate in self._files:
            expected = outlook(candidate, known.get(candidate.import_path))
            outlooks[expected] += 1
            self.stdout.write(f"{expected:<10} {_shown(candidate.import_path)}")
        self._summarize("Would be", outlooks)

    def _import(self, job: FolderImport, *, is_waiting: bool) -> None:
        outcomes: Counter[str] = Counter()
        ids: list[str] = []
        try:
            postponed = self._run(job, self._files, outcomes, ids)
            ends = time.monotonic() + POSTPONED_SECONDS
            while postponed and time.monotonic() < ends:
                time.sleep(1)
                postponed = self._run(job, postponed, outcomes, ids)
            outcomes[Outcome.POSTPONED] = len(postponed)
            for candidate in postponed:
                self.stdout.write(
                    f"postponed  {_shown(candidate.import_path)}: it is being processed; run this again"
                )
            begun = sum(outcomes.values())
            self._summarize("Done", outcomes)
            is_complete = begun == len(self._files) and not outcomes["failed"] and not postponed
            if is_waiting:
                is_complete &= self._wait(ids)
        except KeyboardInterrupt:
            job.stop()
            self._summarize("Interrupted; run it again to go on", outcomes)
            raise SystemExit(INTERRUPTED) from None
        if not is_complete:
            raise SystemExit(NOT_ALL)

    def _run(
        self, job: FolderImport, candidates: Sequence[Candidate], outcomes: Counter[str], ids: list[str]
    ) -> list[Candidate]:
        """Returns those that were postponed."""
        postponed = []
        with self._progress(candidates) as advance:
            for result in job.run(candidates):
                if result.outcome == Outcome.POSTPONED:
                    postponed.append(result.candidate)
                    continue
                outcomes[result.outcome or "failed"] += 1
                ids.append(result.file_id)
                advance(result)
        return postponed

    @contextmanager
    def _progress(self, candidates: Sequence[Candidate]) -> Iterator[Any]:
        """A bar of bytes on a terminal; elsewhere a line now and then. What fails is told either way."""
        total = sum(candidate.size_bytes for candidate in candidates)
        told = [time.monotonic(), 0]
        # tqdm writes to the real stderr; without a terminal it would leave a line for each step.
        with tqdm(total=total, unit="B", unit_scale=True, disable=None, leave=False) as bar:

            def advance(result: Result) -> None:
                bar.update(result.candidate.size_bytes)
                told[1] += 1
                if result.outcome is None:
                    bar.clear()
                    self.stdout.write(f"failed     {_shown(result.candidate.import_path)}: {result.problem}")
                elif bar.disable and time.monotonic() - told[0] > TELL_EVERY_SECONDS:
                    told[0] = time.monotonic()
                    self.stdout.write(f"{told[1]} of {len(candidates)} files")

            yield advance

    def _wait(self, ids: Sequence[str]) -> bool:
        """Until all are READY or an ERROR; True when none is an ERROR."""
        unfinished = [file_id for file_id in ids if file_id]
        total, errors = len(unfinished), 0
        with tqdm(total=total, unit="file", disable=None, leave=False) as bar:
            while unfinished:
                rows = _in_end(unfinished)
                for row in rows.values():
                    if row.status == FileStatus.ERROR:
                        errors += 1
                        bar.clear()
                        path = row.metadata.get("importPath", row.file_name)
                        self.stdout.write(f"error      {_shown(path)}: {row.status_message}")
                bar.update(len(rows))
                unfinished = [file_id for file_id in unfinished if file_id not in rows]
                if unfinished:
                    time.sleep(1)
        self.stdout.write(f"{total - errors} files are READY, {errors} are an ERROR.")
        return not errors

    def _summarize(self, title: str, outcomes: Counter[str]) -> None:
        told = [f"{outcomes[outcome]} {outcome}" for outcome in Outcome if outcomes[outcome]]
        if outcomes["failed"]:
            told.append(f"{outcomes['failed']} failed")
        left = len(self._files) - sum(outcomes.values())
        if left:
            told.append(f"{left} not begun")
        told.append(f"{len(self._skipped)} skipped")
        self.stdout.write(f"{title}: {', '.join(told)}.")


def _target(organization_id: str, knowledge_base_id: str | None) -> tuple[KnowledgeBase, User]:
    """Where the files go, and whose they are: the organization's first owner's."""
    if not Organization.objects.filter(pk=organization_id).exists():
        raise CommandError(f"There is no organization {organization_id}.")
    if knowledge_base_id is None:
        knowledge_base = default_library()
    else:
        found = KnowledgeBase.objects.filter(pk=knowledge_base_id).first()
        if found is None:
            raise CommandError(f"{organization_id} has no knowledge base {knowledge_base_id}.")
        knowledge_base = found
    owners = Membership.objects.filter(role=Role.OWNER).select_related("user").order_by("created_at")
    owner = owners.first()
    if owner is None:
        raise CommandError(f"{organization_id} has no owner, whose the files would be. Give it one first.")
    return knowledge_base, owner.user


def _in_end(ids: Sequence[str]) -> dict[str, File]:
    """Those that are READY, an ERROR, or deleted, which is an end too."""
    ended: dict[str, File] = {}
    for start in range(0, len(ids), IN_BATCHES):
        batch = ids[start : start + IN_BATCHES]
        rows = File.objects.in_bulk(batch)
        for file_id in batch:
            row = rows.get(file_id, File(id=file_id, status=FileStatus.READY))
            if row.status in {FileStatus.READY, FileStatus.ERROR}:
                ended[file_id] = row
    return ended


@contextmanager
def _alone_in(root: Path) -> Iterator[None]:
    """Two imports of one folder would import everything twice. Raises CommandError."""
    descriptor = os.open(root, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CommandError(f"Another import of {root} is running.") from error
        yield
    finally:
        os.close(descriptor)


def _shown(path: str) -> str:
    """Fit for a terminal: a name may hold what would write elsewhere on it."""
    return "".join(character if character.isprintable() else "?" for character in path)
