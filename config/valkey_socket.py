"""Where the bundled Valkey listens."""

import hashlib
import tempfile
from pathlib import Path

MAX_SOCKET_PATH = 100  # the kernel's limit is 107 bytes


def valkey_socket(data_dir: Path) -> Path:
    """A socket path in the data folder or, where that is too long for the kernel, in the temporary one."""
    path = data_dir / "valkey" / "valkey.sock"
    if len(str(path).encode()) <= MAX_SOCKET_PATH:
        return path
    digest = hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"commonplace-{digest}" / "valkey.sock"
