"""The embedded topology: one process, one folder, nothing to configure."""

import os
import secrets
from pathlib import Path

from config.settings.base import *  # noqa: F403
from config.settings.base import ALLOWED_HOSTS, DATA_DIR, HOST, SECRET_KEY


def _kept_secret(path: Path) -> str:
    """The secret of this data folder, made on first use and readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        secret = secrets.token_urlsafe(50)
        file.write(secret)
    return secret


SECRET_KEY = SECRET_KEY or _kept_secret(DATA_DIR / "secret.key")
ALLOWED_HOSTS = [*ALLOWED_HOSTS, HOST]
