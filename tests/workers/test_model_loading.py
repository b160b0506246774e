"""A model that a worker meets is loaded beside its other duties: it may have to be converted first, for minutes."""

import fcntl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import openvino
import pytest
from django.conf import LazySettings
from django.conf import settings as session_settings
from django.utils import timezone

from apps.events.models import Event
from apps.knowledge import leases
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.reembedding import claims
from apps.knowledge.reembedding.requests import reembed
from apps.knowledge.statuses import FileStatus
from apps.knowledge.sweep import sweep
from apps.retrieval import runtime
from apps.retrieval.embedding.embedder import EmbeddingBackend, TransformerEmbedder
from apps.retrieval.embedding.openvino_cache import converted_model
from apps.retrieval.embedding.registry import embedding_model
from tests.conftest import Tenant, Upload, committing
from workers import embedding_models, stopping
from workers.ingest import process_next
from workers.reembedding import reembed_for_a_while

pytestmark = [pytest.mark.django_db, pytest.mark.once]

E5 = embedding_model("multilingual-e5-small")
LEASE_SECONDS = 4
CONVERSION_SECONDS = 2.0 * LEASE_SECONDS


class WatchedEmbedder(TransformerEmbedder):
    """The real one, and how often somebody wanted it loaded."""

    times_begun = 0

    def begin_loading(self) -> Future[EmbeddingBackend]:
        self.times_begun += 1
        return super().begin_loading()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A folder for converted models, and nothing in it."""
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture
def unloaded(cache: Path) -> Iterator[WatchedEmbedder]:
    """The multilingual model as a process has it that has not met it yet."""
    embedder = WatchedEmbedder(E5, backend="openvino", threads=0, cache_folder=cache)
    _ = embedder.tokenizer  # of its time some seconds may go by in which no other thread has a turn
    with runtime.using(model=E5.name, embedder=embedder):
        yield embedder
    embedder.close()


@contextmanager
def _converting_elsewhere(cache: Path, seconds: float) -> Iterator[None]:
    """Another process has the folder's lock while it converts, and the model is there when it is done."""
    converted = converted_model(E5, Path(session_settings.EMBEDDING_CACHE_DIR), openvino.Core()).path.parent
    with (cache / "LOCK").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def finish() -> None:
            (cache / converted.name).symlink_to(converted.resolve())
            fcntl.flock(lock, fcntl.LOCK_UN)

        timer = threading.Timer(seconds, finish)
        timer.start()
        try:
            yield
        finally:
            timer.join()


@pytest.fixture
def foreign(tenant: Tenant, ingest: Upload) -> None:
    """The tenant's library has the multilingual model. The worker has started its reader and the default model, which
    takes some seconds too."""
    ingest("owl.txt", b"The owl hunts at night.", "text/plain")
    with tenant.scope():
        KnowledgeBase.objects.filter(pk=tenant.library.pk).update(embedding_model=E5.name)


@pytest.fixture
def sweeping(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """Each time that a worker renews its lease a sweep has just looked for leases that ran out."""
    renew = leases.renew
    moments: list[datetime] = []

    def after_a_sweep(*args: Any, **kwargs: Any) -> datetime:
        moments.append(timezone.now())
        with committing():
            sweep()
        return renew(*args, **kwargs)

    monkeypatch.setattr(leases, "renew", after_a_sweep)
    return moments


@pytest.mark.usefixtures("foreign", "unloaded")
def test_lease_is_renewed_while_its_model_is_loaded(
    tenant: Tenant, upload: Upload, cache: Path, settings: LazySettings, sweeping: list[datetime]
) -> None:
    settings.LEASE_SECONDS = LEASE_SECONDS
    file = upload("heron.txt", b"The heron stands in shallow water and waits for fish.", "text/plain")
    begun = timezone.now()
    with _converting_elsewhere(cache, CONVERSION_SECONDS):
        process_next()
    assert (sweeping[-1] - begun).total_seconds() > CONVERSION_SECONDS
    with tenant.scope():
        file = File.objects.get(pk=file.pk)
        steps = list(Event.objects.filter(subject_id=file.pk).order_by("id").values_list("kind", flat=True))
    assert (file.status, file.unfinished_attempts) == (FileStatus.READY, 0)
    assert steps.count("file.processing") == 1


@pytest.mark.usefixtures("foreign")
def test_worker_that_is_stopped_while_a_model_is_loaded_gives_its_file_back(
    tenant: Tenant, upload: Upload, cache: Path, unloaded: WatchedEmbedder
) -> None:
    file = upload("heron.txt", b"The heron stands in shallow water and waits for fish.", "text/plain")
    with _converting_elsewhere(cache, CONVERSION_SECONDS):
        stop = threading.Timer(1.0, stopping.request_stop)
        stop.start()
        begun = timezone.now()
        try:
            process_next()
        finally:
            stop.join()
            stopping.withdraw_stop()
        assert (timezone.now() - begun).total_seconds() < CONVERSION_SECONDS / 2
    unloaded.begin_loading().result()  # nobody's any more; it goes on
    with tenant.scope():
        file = File.objects.get(pk=file.pk)
    assert (file.status, file.unfinished_attempts) == (FileStatus.ENQUEUED, 0)


def test_claim_on_a_switch_is_renewed_while_the_new_model_is_loaded(
    tenant: Tenant,
    ingest: Upload,
    cache: Path,
    unloaded: WatchedEmbedder,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ingest("owl.txt", b"The owl hunts at night.", "text/plain")
    with tenant.scope(), committing():
        reembed(tenant.library, E5.name)
    settings.LEASE_SECONDS = LEASE_SECONDS
    renew = claims.renew
    ends: list[datetime] = []
    late: list[datetime] = []

    def watched(claim: claims.Claim) -> None:
        now = timezone.now()
        if ends and now > ends[-1]:
            late.append(now)
        renew(claim)
        ends.append(now + timedelta(seconds=LEASE_SECONDS))

    monkeypatch.setattr(claims, "renew", watched)
    begun = timezone.now()
    with _converting_elsewhere(cache, CONVERSION_SECONDS):
        assert reembed_for_a_while(owner="tests")
    assert (ends[-1] - begun).total_seconds() > CONVERSION_SECONDS
    assert late == []
    with tenant.scope():
        assert KnowledgeBase.objects.get(pk=tenant.library.pk).embedding_model == E5.name


@pytest.fixture
def fresh_process() -> Iterator[Callable[[], object]]:
    """What a process does once is done again."""
    embedding_models.begin_with_other_models.cache_clear()
    yield embedding_models.begin_with_other_models
    embedding_models.begin_with_other_models.cache_clear()


@pytest.mark.usefixtures("fresh_process")
def test_worker_loads_the_models_that_knowledge_bases_have(
    tenant: Tenant, ingest: Upload, unloaded: WatchedEmbedder, cache: Path
) -> None:
    """One that none has is not loaded: memory is scarce."""
    ingest("owl.txt", b"The owl hunts at night.", "text/plain")
    assert unloaded.times_begun == 0
    with tenant.scope():
        KnowledgeBase.objects.create(
            organization=tenant.organization, creator=tenant.owner, title="Other", embedding_model=E5.name
        )
    embedding_models.begin_with_other_models.cache_clear()
    with _converting_elsewhere(cache, CONVERSION_SECONDS):
        begun = timezone.now()
        file = ingest("heron.txt", b"The heron waits for fish.", "text/plain")
        assert file.status == FileStatus.READY
        assert (timezone.now() - begun).total_seconds() < CONVERSION_SECONDS, "it did not wait for the other"
    assert unloaded.times_begun > 0
    unloaded.begin_loading().result()
