"""The peer: the product's own model and index alone, without server, queue, parsing or HTTP.

``run`` starts this module as a process of its own, on the data folder of a server that has stopped, so
that the two never share the cores. It prints one JSON document.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.live_server import ROOT

FETCH_BATCH = 500
WARM_UP = 64


def run(measurement: str, data_dir: Path, argument: object = None) -> dict[str, Any]:
    """``embedding``: {"chunks", "seconds", "cpu_seconds", "model"}; ``search`` with a list of queries, the first tenth
    of which only warms up: {"seconds": [each], "vectors"}; ``rankings`` with {"queries",
    "read_again"}: what ``quality_rankings.rank`` gives for them."""
    environment = os.environ | {"DATA_DIR": str(data_dir), "DJANGO_SETTINGS_MODULE": "config.settings.local"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.bare", measurement],
        input=json.dumps(argument),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
        env=environment,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _measure_embedding(_: object) -> dict[str, Any]:
    """All chunks of all READY files at once, which is the most that the embedder can be given."""
    from django.conf import settings

    from apps.retrieval.runtime import get_embedder

    texts = list(_stored_texts())
    embedder = get_embedder(settings.EMBEDDING_MODEL)
    embedder.embed_passages(texts[:WARM_UP])
    started, cpu_started = time.perf_counter(), time.process_time()
    embedder.embed_passages(texts)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return {"chunks": len(texts), "seconds": seconds, "cpu_seconds": cpu_seconds, "model": embedder.name}


def _measure_search(queries: Any) -> dict[str, Any]:
    """Embed the query, ask the index, fuse, fetch: what a search does when nobody asks over HTTP."""
    from apps.knowledge.knowledge_bases import default_library
    from apps.orgs.models import Organization
    from apps.orgs.scope import tenant_scope
    from apps.retrieval import services
    from apps.retrieval.passages import SearchScope

    organization = Organization.objects.get()
    with tenant_scope(organization.pk):
        library = default_library()
        scope = SearchScope(organization.pk, (library.pk,), library.embedding_model)
    seconds = []
    for query in queries:
        started = time.perf_counter()
        services.search_passages([scope], query, limit=10)
        seconds.append(time.perf_counter() - started)
    vectors = services.count_vectors(organization_id=organization.pk)
    return {"seconds": seconds[len(seconds) // 10 :], "vectors": vectors}


def _stored_texts() -> Iterator[str]:
    """What was embedded, as the index keeps it."""
    from apps.knowledge.models import File
    from apps.knowledge.statuses import FileStatus
    from apps.orgs.scope import system_scope
    from apps.retrieval.passages import SearchScope
    from apps.retrieval.payload import point_id
    from apps.retrieval.runtime import get_index

    with system_scope("benchmarks"):
        files = list(File.objects.filter(status=FileStatus.READY).select_related("knowledge_base"))
    for file in files:
        scope = SearchScope(
            file.organization_id, (file.knowledge_base_id,), file.knowledge_base.embedding_model
        )
        ids = [point_id(file.pk, file.live_revision, ordinal) for ordinal in range(file.chunk_count)]
        for start in range(0, len(ids), FETCH_BATCH):
            found = get_index(scope.model).fetch(scope, ids[start : start + FETCH_BATCH])
            yield from (stored.chunk.text_to_embed for stored in found.values())


def _measure_rankings(asked: Any) -> dict[str, Any]:
    from benchmarks.quality_rankings import rank

    return rank(asked["queries"], read_again=asked["read_again"])


MEASUREMENTS = {"embedding": _measure_embedding, "search": _measure_search, "rankings": _measure_rankings}


def main() -> None:
    import django

    django.setup()
    from apps.retrieval import runtime

    try:
        print(json.dumps(MEASUREMENTS[sys.argv[1]](json.load(sys.stdin))))
    finally:
        runtime.close()


if __name__ == "__main__":
    main()
