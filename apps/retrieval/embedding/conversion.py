"""A model converted on this machine, once: kept in a folder that several processes share."""

import fcntl
import logging
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from apps.retrieval.embedding.model import EmbeddingModel
from apps.retrieval.errors import EmbedderUnavailable

logger = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_SECONDS = 600


def converted_folder(model: EmbeddingModel, cache_folder: Path, *, converter: str, fingerprint: str) -> Path:
    """Return the folder that the converter wrote for the model, running it first when there is none.

    ``converter`` is a module of ours that is run with the model's name and a folder to write to, in a process of its
    own: PyTorch's memory goes when that ends. ``fingerprint`` sums up what the result depends on. Processes
    that want it at the same time wait for one of them to make it. A conversion that was interrupted leaves
    nothing behind that would be taken for a model. Raises EmbedderUnavailable.
    """
    target = cache_folder / f"{model.name}-{model.revision}-{fingerprint}"
    try:
        if not target.exists():
            cache_folder.mkdir(parents=True, exist_ok=True)
            with (cache_folder / "LOCK").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not target.exists():
                    _convert(model, converter, target)
    except OSError as error:
        raise EmbedderUnavailable(f"The model's folder cannot be used: {error.strerror}.") from error
    return target


def _convert(model: EmbeddingModel, converter: str, target: Path) -> None:
    """Run the converter and put its result in place by one rename."""
    logger.info("Converting the embedding model %s, once: this takes some seconds.", model.name)
    draft = Path(tempfile.mkdtemp(prefix="draft-", dir=target.parent))
    try:
        subprocess.run(
            [sys.executable, "-m", converter, model.name, str(draft.resolve())],
            cwd=ROOT,
            check=True,
            timeout=TIMEOUT_SECONDS,
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        draft.replace(target)
    except subprocess.SubprocessError as error:
        detail = getattr(error, "stderr", None) or b""
        logger.warning("The converter said: %s", detail.decode(errors="replace")[-2000:])
        raise EmbedderUnavailable("The embedding model could not be converted.") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
