"""How a Qdrant server keeps a collection: what the environment chooses, and where a collection differs from it."""

from dataclasses import dataclass
from typing import Any, Literal

from qdrant_client import QdrantClient, models

from apps.retrieval import payload
from apps.retrieval.contracts import SettingDifference

Quantization = Literal["", "int8"]
# How many more candidates the quantized vectors propose than are asked for, to be scored by the originals.
OVERSAMPLING = 2.0


@dataclass(frozen=True, slots=True)
class ServerLayout:
    """None leaves a choice to the server. ``int8`` keeps a quarter-size copy of the vectors in memory for walking the
    graph; with ``on_disk_vectors`` the originals, which give the scores, are read from the disk."""

    shard_number: int | None = None
    replication_factor: int | None = None
    write_consistency_factor: int | None = None
    on_disk_vectors: bool = False
    on_disk_payload: bool = True
    quantization: Quantization = ""
    hnsw_m: int = 16
    hnsw_ef_construct: int = 100

    def create(self, client: QdrantClient, collection: str, *, dimension: int) -> None:
        client.create_collection(
            collection,
            vectors_config={
                payload.DENSE: models.VectorParams(
                    size=dimension, distance=models.Distance.COSINE, on_disk=self.on_disk_vectors
                )
            },
            sparse_vectors_config={payload.SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
            # No graph over everybody's points, which no search may walk: one within each tenant instead.
            hnsw_config=models.HnswConfigDiff(
                m=0, payload_m=self.hnsw_m, ef_construct=self.hnsw_ef_construct
            ),
            quantization_config=_INT8 if self.quantization else None,
            shard_number=self.shard_number,
            replication_factor=self.replication_factor,
            write_consistency_factor=self.write_consistency_factor,
            on_disk_payload=self.on_disk_payload,
        )

    def differences(self, client: QdrantClient, collection: str) -> list[SettingDifference]:
        """Where the collection differs. What is left to the server never does."""
        config = client.get_collection(collection).config
        vectors: Any = config.params.vectors
        quantization: Any = config.quantization_config
        found = {
            "shard_number": config.params.shard_number,
            "replication_factor": config.params.replication_factor,
            "write_consistency_factor": config.params.write_consistency_factor,
            "on_disk_vectors": bool(vectors[payload.DENSE].on_disk),
            "on_disk_payload": bool(config.params.on_disk_payload),
            "quantization": "int8" if getattr(quantization, "scalar", None) else "",
            "hnsw_m": config.hnsw_config.payload_m,
            "hnsw_ef_construct": config.hnsw_config.ef_construct,
        }
        return [
            SettingDifference(f"QDRANT_{name.upper()}", is_now, wanted, can_be_applied=name != "shard_number")
            for name, is_now in found.items()
            if (wanted := getattr(self, name)) is not None and wanted != is_now
        ]

    def apply(self, client: QdrantClient, collection: str) -> None:
        """Change what can be changed of a collection; the server rebuilds graphs and vectors in the background."""
        client.update_collection(
            collection,
            vectors_config={payload.DENSE: models.VectorParamsDiff(on_disk=self.on_disk_vectors)},
            hnsw_config=models.HnswConfigDiff(payload_m=self.hnsw_m, ef_construct=self.hnsw_ef_construct),
            quantization_config=_INT8 if self.quantization else models.Disabled.DISABLED,
            collection_params=models.CollectionParamsDiff(
                replication_factor=self.replication_factor,
                write_consistency_factor=self.write_consistency_factor,
                on_disk_payload=self.on_disk_payload,
            ),
        )

    @property
    def search_params(self) -> models.QuantizationSearchParams | None:
        """Scores are the originals', whatever proposed the candidates: fusion adds them up."""
        if not self.quantization:
            return None
        return models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)


_INT8 = models.ScalarQuantization(
    scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
)
