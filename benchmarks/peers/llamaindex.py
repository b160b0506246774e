"""A LlamaIndex ingestion pipeline over a folder, in an environment of its own: it imports nothing of the product.

    python llamaindex.py FOLDER MODEL_FOLDER CHUNK_TOKENS OVERLAP_TOKENS

Reader, splitter, embedding and vector store are LlamaIndex's own, as its documentation puts them together; the
model is loaded and warm before the clock starts. Prints {"files", "chunks", "failed", "seconds", "cpu_seconds"}
as JSON.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

from llama_index.core import SimpleDirectoryReader
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import QdrantClient


def main() -> None:
    folder, model_folder, chunk_tokens, overlap_tokens = sys.argv[1:5]
    embedding = HuggingFaceEmbedding(model_name=model_folder)
    embedding.get_text_embedding("warm up")
    store = QdrantVectorStore(client=QdrantClient(":memory:"), collection_name="peer")
    pipeline = IngestionPipeline(
        transformations=[
            SentenceSplitter(chunk_size=int(chunk_tokens), chunk_overlap=int(overlap_tokens)),
            embedding,
        ],
        vector_store=store,
    )
    paths = sorted(path for path in Path(folder).iterdir() if path.is_file())
    chunks, failed = 0, []
    started, cpu_started = time.perf_counter(), time.process_time()
    for path in paths:
        try:
            documents = SimpleDirectoryReader(input_files=[path], raise_on_error=True).load_data()
            chunks += len(pipeline.run(documents=documents))
        except Exception as error:
            failed.append(f"{path.name}: {error}")
    figures = {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu_started}
    print(json.dumps({"files": len(paths), "chunks": chunks, "failed": failed, **figures}))


if __name__ == "__main__":
    main()
