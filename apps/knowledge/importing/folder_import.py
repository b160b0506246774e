"""A whole folder: many files at once, each by ``import_file``."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass

from django.db import connections

from apps.accounts.models import User
from apps.base.errors import CommonplaceError
from apps.knowledge import dispatch
from apps.knowledge.importing.importer import Known, Outcome, import_file
from apps.knowledge.importing.walking import Candidate
from apps.knowledge.intake import QueueFull
from apps.knowledge.models import KnowledgeBase
from apps.knowledge.storage.contracts import StoreFull
from apps.orgs.scope import tenant_scope

# Faults that every file after this one would meet too.
FINAL = (QueueFull, StoreFull)


@dataclass(frozen=True, slots=True)
class Result:
    """``outcome`` None: it could not be imported, and ``problem`` says why."""

    candidate: Candidate
    outcome: Outcome | None
    file_id: str = ""
    problem: str = ""


class FolderImport:
    """Imports candidates by ``jobs`` threads, each with a database connection of its own. ``stop`` lets those under
    way end and begins no other."""

    def __init__(
        self,
        *,
        knowledge_base: KnowledgeBase,
        creator: User,
        tags: Sequence[str],
        known: Mapping[str, Known],
        jobs: int,
    ) -> None:
        self._knowledge_base = knowledge_base
        self._creator = creator
        self._tags = tags
        self._known = known
        self._jobs = jobs
        self._stopping = threading.Event()
        self._is_broker_away = dispatch.queued_messages() is None

    @property
    def is_broker_away(self) -> bool:
        """Whether the files will wait for a sweep, at the latest that of the server's start."""
        return self._is_broker_away

    def stop(self) -> None:
        self._stopping.set()

    def run(self, candidates: Iterable[Candidate]) -> Iterator[Result]:
        """Results as they come. Ends early when told to stop, or after a fault that all others would meet."""
        waiting = iter(candidates)
        with ThreadPoolExecutor(self._jobs, thread_name_prefix="import") as threads:
            under_way: set[Future[Result | None]] = set()
            try:
                while True:
                    while len(under_way) < 2 * self._jobs and not self._stopping.is_set():
                        candidate = next(waiting, None)
                        if candidate is None:
                            break
                        under_way.add(threads.submit(self._import, candidate))
                    if not under_way:
                        return
                    done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    yield from filter(None, (future.result() for future in done))
            finally:
                for future in under_way:
                    future.cancel()

    def _import(self, candidate: Candidate) -> Result | None:
        """None when told to stop before it was begun."""
        if self._stopping.is_set():
            return None
        with ExitStack() as stack:
            stack.callback(connections.close_all)  # this thread's
            stack.enter_context(tenant_scope(self._knowledge_base.organization_id))
            if self._is_broker_away:
                stack.enter_context(dispatch.left_to_the_sweep())
            try:
                outcome, file_id = import_file(
                    candidate,
                    self._known.get(candidate.import_path),
                    knowledge_base=self._knowledge_base,
                    creator=self._creator,
                    tags=self._tags,
                )
            except (CommonplaceError, OSError) as error:
                if isinstance(error, FINAL):
                    self.stop()
                problem = (
                    error.message if isinstance(error, CommonplaceError) else str(error.strerror or error)
                )
                return Result(candidate, None, problem=problem)
        return Result(candidate, outcome, file_id)
