"""Damaged files of every format: each gets a verdict in time, and nothing that reads them is the worse for it."""

import os
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from apps.knowledge.media_types import label_of
from apps.knowledge.models import File
from apps.knowledge.statuses import FileStatus
from apps.orgs.scope import system_scope
from apps.retrieval import services as retrieval
from benchmarks import report
from tests.conftest import Upload
from tests.fuzz.variants import sound_documents, variants
from tests.fuzz.verdicts import MARGIN_SECONDS, TIMEOUT_SECONDS, Verdict, judge
from workers.pipeline.parsing.registry import PARSERS
from workers.pipeline.parsing.zygote_client import zygote

MEGABYTE = 1024**2
MOST_GROWTH_BYTES = 64 * MEGABYTE
MOST_CRASHES = 0.01  # a parser's own bugs, told as parser_crashed: a verdict, and a rare one


def test_every_type_has_a_document_to_damage() -> None:
    assert sound_documents().keys() == PARSERS.keys()


def test_some_damaged_files_of_each_type_get_a_verdict(tmp_path: Path) -> None:
    _check([judge(variant, tmp_path) for variant in variants(2 * len(PARSERS), seed=5)])


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_many_damaged_files_get_a_verdict_and_leave_nothing_behind(tmp_path: Path) -> None:
    count = int(os.environ.get("FUZZ_VARIANTS", "600"))
    seed = int(os.environ.get("FUZZ_SEED") or random.randrange(10_000))
    report.heading(f"{count} damaged files; repeat with FUZZ_SEED={seed}")
    for variant in variants(len(PARSERS), seed=0):  # every parser is loaded, where there is something to load
        judge(variant, tmp_path)
    worker = psutil.Process()
    before, zygote_before, reader = worker.memory_info().rss, _zygote_bytes(), zygote.pid
    verdicts = [judge(variant, tmp_path) for variant in variants(count, seed)]
    grown, zygote_grown = worker.memory_info().rss - before, _zygote_bytes() - zygote_before
    _print(verdicts)
    report.line(
        f"The worker grew by {grown / MEGABYTE:.1f} MB, the zygote by {zygote_grown / MEGABYTE:.1f} MB."
    )
    _check(verdicts)
    assert zygote.pid == reader, "the process that makes the readers lived through it"
    assert not psutil.Process(reader).children()
    assert max(grown, zygote_grown) < MOST_GROWTH_BYTES


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.django_db
def test_damaged_files_end_ready_with_text_or_as_an_error(ingest: Upload) -> None:
    count = int(os.environ.get("FUZZ_VARIANTS", "600")) // 10
    ends: Counter[str] = Counter()
    for variant in variants(count, seed=count):
        file = ingest(variant.name, variant.content, variant.media_type)
        with system_scope("tests"):
            file = File.objects.get(pk=file.pk)
        vectors = retrieval.count_vectors(file.organization_id, file_id=file.pk)
        ends[file.error_code or file.status] += 1
        if file.status == FileStatus.READY:
            assert file.chunk_count == vectors > 0, variant.damage
        else:
            assert (file.status, vectors) == (FileStatus.ERROR, 0), variant.damage
            assert file.error_code not in {"", "internal_error", "quarantined"}, variant.damage
            assert file.status_message, variant.damage
    report.line(f"Through the whole pipeline: {dict(ends)}")


def _check(verdicts: Sequence[Verdict]) -> None:
    late = [_name(verdict) for verdict in verdicts if verdict.seconds > TIMEOUT_SECONDS + MARGIN_SECONDS]
    assert late == []
    assert [_name(verdict) for verdict in verdicts if verdict.code == "text" and not verdict.chars] == []
    crashed = [_name(verdict) for verdict in verdicts if verdict.code == "parser_crashed"]
    assert len(crashed) <= MOST_CRASHES * len(verdicts), crashed


def _name(verdict: Verdict) -> str:
    return f"{verdict.variant.media_type} {verdict.variant.damage}, {verdict.seconds:.1f} s"


def _zygote_bytes() -> int:
    return int(psutil.Process(zygote.pid).memory_info().rss)


def _print(verdicts: Sequence[Verdict]) -> None:
    by_type: defaultdict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_type[verdict.variant.media_type].append(verdict)
    rows = []
    for media_type, some in sorted(by_type.items()):
        codes = Counter(verdict.code for verdict in some)
        rows.append(
            (
                label_of(media_type),
                str(len(some)),
                str(codes.pop("text", 0)),
                ", ".join(f"{code} {number}" for code, number in codes.most_common()),
                f"{max(verdict.seconds for verdict in some):.2f}",
            )
        )
    report.table(("type", "files", "text", "refused", "slowest, s"), rows)
