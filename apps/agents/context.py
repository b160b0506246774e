"""What a step is carried out in: its run, whose rights it has, and the border of what it may change."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from apps.agents import claims
from apps.agents.claims import Hold
from apps.agents.models import Run
from apps.agents.principal import Principal
from apps.base.errors import Conflict
from apps.base.origin import carried_out_by
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.statuses import KnowledgeBaseType


@dataclass(frozen=True, slots=True)
class StepContext:
    """``number`` is the step's place in its run, from 0 on."""

    hold: Hold
    number: int
    principal: Principal

    @property
    def run(self) -> Run:
        return self.hold.run

    @property
    def step_key(self) -> str:
        """The same however often the step is tried: what was made under it is not made twice."""
        return f"{self.run.pk}:{self.number}"

    def file(self) -> File:
        """The run's file, as it is now. Raises Conflict for a run without one, and NotFound."""
        if not self.run.file_id:
            raise Conflict("This step needs a file, and the run has none.")
        return self.principal.file(self.run.file_id)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """A transaction for a change: only while the run is this worker's. Raises HoldLost."""
        with claims.held(self.hold), acting(self.run):
            yield

    def note_reading(self, knowledge_base: KnowledgeBase) -> None:
        """Called before what a run reads can show in it: with a personal knowledge base it is seen by who started
        it only. Raises HoldLost."""
        if knowledge_base.type == KnowledgeBaseType.PERSONAL and not self.run.is_personal:
            with claims.held(self.hold) as run:
                Run.objects.filter(pk=run.pk).update(is_personal=True)


@contextmanager
def acting(run: Run) -> Iterator[None]:
    """What happens here is the run's doing, and its events say so."""
    etl_ids = [*run.trail, run.etl_id] if run.etl_id else [*run.trail]
    told: dict[str, Any] = {"runId": run.pk, "depth": run.depth, "etlIds": etl_ids}
    with carried_out_by(told, user_id=run.acts_for, key_id=run.key_id):
        yield
