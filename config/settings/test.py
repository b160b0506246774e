"""Tests run on real services. tests/services/plugin.py starts them and names them in the environment."""

import os
import tempfile

os.environ.setdefault("DATA_DIR", tempfile.gettempdir() + "/commonplace-test")

from config.settings.base import *  # noqa: F403
from config.settings.base import DATABASES

SECRET_KEY = "only for tests"  # noqa: S105
ALLOWED_HOSTS = ["*"]
RATE_LIMIT_PER_ADDRESS = 0  # every test calls from the same one
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["TEST"] = {
        "NAME": DATABASES["default"]["NAME"]
    }  # a file: threads share it as in real life
DATABASES["default"]["CONN_MAX_AGE"] = (
    0  # a connection that a thread keeps would be in the way of dropping it
)
