"""The full stack: every service is named by the environment, and no secret has a default."""

from config.settings.base import *  # noqa: F403
from config.settings.base import env

SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]

# Checked by `manage.py check --deploy` and at the start of every process (config/checks.py).
REQUIRED_VARIABLES = {
    "SECRET_KEY": "a long random string, the same for every process",
    "DATABASE_URL": "postgres://user:password@host/name",
    "BROKER_URL": "redis://host:6379/0",
    "QDRANT_URL": "http://host:6333",
    "ALLOWED_HOSTS": "the names this service answers to, with commas between",
    "PUBLIC_URL": "https://name, which clients use in upload and download URLs of the folder store",
}
