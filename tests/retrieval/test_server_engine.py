"""What is particular to a served index: it can be away, and several processes share it."""

import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from qdrant_client import QdrantClient

from apps.retrieval import payload
from apps.retrieval.engines.server import ServerIndex
from apps.retrieval.engines.server_layout import ServerLayout
from apps.retrieval.errors import IndexUnavailable
from apps.retrieval.passages import FileAttributes
from apps.retrieval.runtime import using
from tests.retrieval.material import DIMENSION, address, encoded, put, question, scope, texts_found
from tests.services.qdrant_server import QdrantServer

pytestmark = pytest.mark.once

WRITER = """
import sys
from apps.retrieval.engines.server import ServerIndex
from tests.retrieval.material import DIMENSION, address, put
index = ServerIndex(url=sys.argv[1], api_key=None, collection="shared", dimension=DIMENSION)
put(index, address(file=sys.argv[2]), f"from {sys.argv[2]}")
"""


def _open(server: QdrantServer, collection: str = "shared") -> ServerIndex:
    return ServerIndex(
        url=server.url, api_key=None, collection=collection, dimension=DIMENSION, timeout_seconds=5
    )


def test_index_that_goes_away_is_retryable_and_comes_back(server: QdrantServer) -> None:
    index = _open(server)
    put(index, address(), "before")
    server.stop()
    for call in (
        lambda: put(index, address(file="file-b"), "while away"),
        lambda: index.candidates(scope(), question("before"), per_leg=10),
        lambda: index.count("org-a"),
        lambda: index.delete_file("org-a", "file-a"),
        index.check,
    ):
        with pytest.raises(IndexUnavailable) as caught:
            call()
        assert caught.value.retryable
    server.start()
    index.check()
    put(index, address(file="file-b"), "after")
    assert texts_found(index, scope()) == {"before", "after"}
    index.close()


def test_index_may_be_opened_before_its_server_is_up(server: QdrantServer) -> None:
    server.stop()
    index = _open(server)
    with pytest.raises(IndexUnavailable):
        index.check()
    server.start()
    put(index, address(), "text")
    assert index.count("org-a") == 1
    index.close()


def test_dropped_collection_is_made_again(server: QdrantServer) -> None:
    index = _open(server)
    put(index, address(), "text")
    QdrantClient(url=server.url, check_compatibility=False).delete_collection("shared")
    with pytest.raises(IndexUnavailable):
        index.count("org-a")
    assert index.count("org-a") == 0
    index.close()


def test_processes_share_one_index(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-m", "tests.services.qdrant_server", "--dir", str(tmp_path)]
    served = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert served.stdout is not None
        url = served.stdout.readline().split()[-1]
        names = ["file-1", "file-2"]
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, url, name], env=environment) for name in names
        ]
        assert [writer.wait(60) for writer in writers] == [0, 0]
        index = ServerIndex(url=url, api_key=None, collection="shared", dimension=DIMENSION)
        assert texts_found(index, scope()) == {"from file-1", "from file-2"}
        index.close()
    finally:
        served.kill()
        served.communicate()


def test_many_threads_may_be_the_first_to_use_it(server: QdrantServer) -> None:
    indexes = [_open(server, "new") for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: put(indexes[n % 4], address(file=f"file-{n}"), "text"), range(16)))
    assert indexes[0].count("org-a") == 16
    for index in indexes:
        index.close()


def test_collection_is_laid_out_for_tenants(server: QdrantServer, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, object]] = []
    create = QdrantClient.create_payload_index

    def watched(
        client: QdrantClient, collection: str, field: str, schema: object, **options: object
    ) -> object:
        made.append((field, schema))
        return create(client, collection, field, schema, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(QdrantClient, "create_payload_index", watched)
    index = _open(server)
    index.check()
    tenants = [field for field, schema in made if getattr(schema, "is_tenant", None)]
    assert tenants == ["organization_id"]
    assert {field for field, _ in made} == {
        "organization_id", "knowledge_base_id", "file_id", "file_revision", "tags", "metadata",
    }  # fmt: skip
    index.close()


def _laid_out(server: QdrantServer, layout: ServerLayout, collection: str = "shared") -> ServerIndex:
    return ServerIndex(
        url=server.url,
        api_key=None,
        collection=collection,
        dimension=DIMENSION,
        layout=layout,
        timeout_seconds=5,
    )


FULL_LAYOUT = ServerLayout(
    shard_number=3,
    replication_factor=2,
    write_consistency_factor=2,
    on_disk_vectors=True,
    on_disk_payload=False,
    quantization="int8",
    hnsw_m=32,
    hnsw_ef_construct=200,
)


def test_collection_is_made_as_the_settings_say(server: QdrantServer) -> None:
    index = _laid_out(server, FULL_LAYOUT)
    put(index, address(), "text")
    assert index.differences() == []
    config = QdrantClient(url=server.url, check_compatibility=False).get_collection("shared").config
    assert (config.params.shard_number, config.params.replication_factor) == (3, 2)
    assert (config.hnsw_config.m, config.hnsw_config.payload_m, config.hnsw_config.ef_construct) == (
        0,
        32,
        200,
    )
    assert config.quantization_config.scalar.always_ram  # type: ignore[union-attr]
    index.close()


def test_other_settings_are_told_and_applied_without_losing_a_point(
    server: QdrantServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _laid_out(server, ServerLayout())
    put(first, address(), "before")
    assert first.differences() == []
    first.close()

    index = _laid_out(server, FULL_LAYOUT)
    monkeypatch.setattr(logging.getLogger("apps"), "propagate", True)  # caplog listens at the root
    with caplog.at_level("WARNING"):
        index.check()
    assert "QDRANT_QUANTIZATION ('', not 'int8')" in caplog.text
    names = {found.setting for found in index.differences()}
    assert names == {f"QDRANT_{field.upper()}" for field in FULL_LAYOUT.__slots__}
    index.apply_settings()
    (remaining,) = index.differences()
    assert (remaining.setting, remaining.can_be_applied) == ("QDRANT_SHARD_NUMBER", False)
    put(index, address(file="file-b"), "after")
    assert texts_found(index, scope()) == {"before", "after"}
    index.close()

    back = _laid_out(server, ServerLayout())
    back.apply_settings()
    assert back.differences() == []
    back.close()


def test_quantized_search_scores_by_the_original_vectors(server: QdrantServer) -> None:
    index = _laid_out(server, ServerLayout(quantization="int8"))
    chunks = [encoded(f"text {n}", ordinal=n, seed=n) for n in range(300)]
    index.upsert(address(), FileAttributes(), chunks)
    query = question("anything", seed=1000)
    for candidate in index.candidates(scope(), query, per_leg=20):
        ordinal = index.fetch(scope(), [candidate.point_id])[candidate.point_id].chunk.ordinal
        assert candidate.cosine == pytest.approx(float(chunks[ordinal].dense @ query.dense()), abs=1e-5)
    index.close()


def test_command_tells_and_applies(server: QdrantServer) -> None:
    made = _laid_out(server, ServerLayout(), payload.collection_name("all-minilm-l6-v2-0", DIMENSION))
    made.check()
    made.close()
    index = _laid_out(server, FULL_LAYOUT, made.collection)
    told = StringIO()
    with using(index=index):
        with pytest.raises(CommandError, match="8 settings differ"):
            call_command("index_settings", stdout=told)
        with pytest.raises(CommandError, match="1 settings differ"):
            call_command("index_settings", "--apply", stdout=told)
    assert (
        "QDRANT_SHARD_NUMBER is 1, not 3. It can't be changed in a collection that exists." in told.getvalue()
    )
    index.close()
