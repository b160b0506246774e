"""A model converted on this machine, once: kept in a folder that several processes share."""

import fcntl
import hashlib
import logging
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TextIO

from apps.retrieval.embedding.model import EmbeddingModel
from apps.retrieval.errors import EmbedderUnavailable

logger = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parents[3]
TIMEOUT_SECONDS = 600
DRAFT = "draft-"
LOCK = "LOCK"
HASH_DIGITS = 16
# The lock of each folder that this process uses: a shared one, kept until the process ends.
_in_use: dict[Path, TextIO] = {}


def fingerprint(sources: Sequence[str], packages: Sequence[str], *further: str) -> str:
    """Sum up what a conversion depends on: our converter's ``sources``, of this folder, the versions of the
    ``packages``, and ``further`` facts."""
    facts = [f"{name}={metadata.version(name)}" for name in packages]
    files = (Path(__file__).with_name(name) for name in sources)
    facts += [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    return hashlib.sha256("\n".join([*facts, *further]).encode()).hexdigest()[:HASH_DIGITS]


def converted_folder(
    model: EmbeddingModel, cache_folder: Path, *, converter: str, fingerprint: str, kind: str = ""
) -> Path:
    """Return the folder that the converter wrote for the model, running it first when there is none.

    ``converter`` is a module of ours that is run with the model's name and a folder to write to, in a process of its
    own: PyTorch's memory goes when that ends. ``fingerprint`` sums up what the result depends on, and ``kind``, before
    it in the folder's name, tells converters apart. Processes that want it at the same time wait for one of them to
    make it. A conversion that was interrupted leaves nothing behind that would be taken for a model. The next one
    removes what it left, and the folders of other revisions and fingerprints that no process uses.
    Raises EmbedderUnavailable.
    """
    target = cache_folder / f"{model.name}-{model.revision}-{kind}{fingerprint}"
    try:
        if not _hold(target):
            cache_folder.mkdir(parents=True, exist_ok=True)
            with (cache_folder / LOCK).open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not _hold(target):
                    _remove_drafts(cache_folder)
                    _convert(model, converter, target)
                    _hold(target)
                    _discard_others(model, kind, target)
                    _remove_drafts(cache_folder)
    except OSError as error:
        raise EmbedderUnavailable(f"The model's folder cannot be used: {error.strerror}.") from error
    return target


def _hold(folder: Path) -> bool:
    """Whether the folder is there. Then this process uses it, until it ends, and no process removes it meanwhile."""
    if not folder.exists():
        return False
    with suppress(OSError):  # read-only, or a file system without locks
        lock = (folder / LOCK).open("a+")
        fcntl.flock(lock, fcntl.LOCK_SH)
        _in_use[folder] = lock
    return folder.exists()  # or it was just being removed


def _convert(model: EmbeddingModel, converter: str, target: Path) -> None:
    """Run the converter and put its result in place by one rename."""
    logger.info("Converting the embedding model %s, once: this takes some seconds.", model.name)
    draft = Path(tempfile.mkdtemp(prefix=DRAFT, dir=target.parent))
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


def _discard_others(model: EmbeddingModel, kind: str, target: Path) -> None:
    """Make drafts of the converter's other folders of the model, as long as no process has locked them. By a rename:
    whoever is killed meanwhile leaves no half of a model under its name."""
    name = re.compile(rf"{re.escape(model.name)}-[^-]+-{re.escape(kind)}[0-9a-f]{{{HASH_DIGITS}}}")
    for folder in target.parent.iterdir():
        if folder == target or not name.fullmatch(folder.name):
            continue
        with suppress(OSError):  # a process uses it, or it can't be told whether one does
            with (folder / LOCK).open("a+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                folder.rename(folder.with_name(DRAFT + folder.name))
            logger.info("Removed %s, which nothing uses any more.", folder)


def _remove_drafts(cache_folder: Path) -> None:
    """With the lock on ``cache_folder`` nobody else makes any: whoever made these was killed."""
    for draft in cache_folder.glob(f"{DRAFT}*"):
        shutil.rmtree(draft, ignore_errors=True)
