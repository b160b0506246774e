"""Settings shared by every deployment, read from the environment. docs/configuration.md lists the variables."""

from pathlib import Path

import environ

from config.valkey_socket import valkey_socket

env = environ.Env()
BASE_DIR = Path(__file__).resolve().parent.parent.parent
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / ".data"))).resolve()

MEGABYTE = 1024 * 1024

# --- Django -----------------------------------------------------------------------------------------
SECRET_KEY = env.str("SECRET_KEY", default="")
DEBUG = False
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True
LOGIN_URL = "/login/"
LOGIN_REDIRECT_URL = "/orgs"
LOGOUT_REDIRECT_URL = "/login/"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "apps.accounts",
    "apps.orgs",
    "apps.events",
    "apps.retrieval",
    "apps.knowledge",
    "apps.documents",
    "apps.agents",
    "apps.etl",
    "apps.api",
    "apps.console",
    "workers",
    "config.admin.CommonplaceAdminConfig",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "config.static_files.StaticFilesMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "apps.api.common.origin.origin_middleware",
]
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

PASSWORD_RESET_TIMEOUT = 3600  # seconds

# --- e-mail -----------------------------------------------------------------------------------------
vars().update(env.email_url("EMAIL_URL", default="consolemail://"))  # EMAIL_BACKEND, EMAIL_HOST and so on
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default="Commonplace <commonplace@localhost>")

# --- database ---------------------------------------------------------------------------------------
DATABASES = {"default": env.db_url("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'commonplace.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",  # writers queue at BEGIN instead of failing at COMMIT
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;",
    }
    DATABASES["default"]["CONN_MAX_AGE"] = None  # a file does not go away; each thread reads its schema once
else:
    DATABASES["default"]["CONN_MAX_AGE"] = 60
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    # A server that is cut off is given up long before a lease ends, and not when TCP does, in a quarter of an hour.
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 10,
        "tcp_user_timeout": 20_000,  # milliseconds
        **DATABASES["default"].get("OPTIONS", {}),
    }

# --- ingestion --------------------------------------------------------------------------------------
PARSE_TIMEOUT_SECONDS = env.float("PARSE_TIMEOUT_SECONDS", default=900.0)
PARSE_MEMORY_BYTES = env.int("PARSE_MEMORY_BYTES", default=2048 * MEGABYTE)
MAX_PAGES = env.int("MAX_PAGES", default=5000)
MAX_IMAGE_PIXELS = env.int("MAX_IMAGE_PIXELS", default=60_000_000)
MAX_TEXT_CHARS = env.int("MAX_TEXT_CHARS", default=50_000_000)
MAX_EXPANDED_BYTES = env.int("MAX_EXPANDED_BYTES", default=256 * MEGABYTE)
OCR_LANGUAGES = tuple(env.list("OCR_LANGUAGES", default=["eng"]))
MAX_WAITING_FILES = env.int("MAX_WAITING_FILES", default=100_000)  # of one organization; 0: no limit
INGEST_THREADS = env.int("INGEST_THREADS", default=2)
LEASE_SECONDS = env.int("LEASE_SECONDS", default=60)
MAX_INGEST_ATTEMPTS = env.int("MAX_INGEST_ATTEMPTS", default=5)
MIN_FREE_DISK_BYTES = env.int("MIN_FREE_DISK_BYTES", default=256 * MEGABYTE)
SWEEP_INTERVAL_SECONDS = env.int("SWEEP_INTERVAL_SECONDS", default=15)
REDISPATCH_AFTER_SECONDS = env.int("REDISPATCH_AFTER_SECONDS", default=60)
# A revision that was replaced stays this long, so that a search begun before the flip still finds it whole.
STALE_REVISION_GRACE_SECONDS = env.int("STALE_REVISION_GRACE_SECONDS", default=30)

# --- automation -------------------------------------------------------------------------------------
ETL_MAX_DEPTH = env.int("ETL_MAX_DEPTH", default=5)  # runs in a row, each started by what the one before did
MAX_WAITING_RUNS = env.int("MAX_WAITING_RUNS", default=10_000)  # of one organization; 0: no limit
RUN_THREADS = env.int("RUN_THREADS", default=2)
MAX_RUN_ATTEMPTS = env.int("MAX_RUN_ATTEMPTS", default=3)
MAX_RUN_FAULTS = env.int("MAX_RUN_FAULTS", default=8)
RUN_RETENTION_DAYS = env.int("RUN_RETENTION_DAYS", default=90)  # 0: for ever
MAX_FINISHED_RUNS = env.int("MAX_FINISHED_RUNS", default=100_000)  # of one organization; 0: any number
CALL_URL_TIMEOUT_SECONDS = env.float("CALL_URL_TIMEOUT_SECONDS", default=30.0)
CALL_URL_MAX_BYTES = env.int("CALL_URL_MAX_BYTES", default=MEGABYTE)
OUTBOUND_HOSTS = tuple(env.list("OUTBOUND_HOSTS", default=[]))  # empty: any on the public internet
OUTBOUND_PRIVATE_HOSTS = tuple(env.list("OUTBOUND_PRIVATE_HOSTS", default=[]))

# --- language model ---------------------------------------------------------------------------------
LLM_BASE_URL = env.str("LLM_BASE_URL", default="")  # empty: agents answer by extracts
LLM_API_KEY = env.str("LLM_API_KEY", default="")
LLM_MODEL = env.str("LLM_MODEL", default="")
LLM_MODELS = tuple(env.list("LLM_MODELS", default=[]))  # empty: whatever an agent names
LLM_MAX_TOKENS_PER_MONTH = env.int("LLM_MAX_TOKENS_PER_MONTH", default=0)  # where no plan says; 0: any
LLM_TIMEOUT_SECONDS = env.float("LLM_TIMEOUT_SECONDS", default=60.0)
LLM_MAX_RETRIES = env.int("LLM_MAX_RETRIES", default=2)
LLM_MAX_OUTPUT_TOKENS = env.int("LLM_MAX_OUTPUT_TOKENS", default=2000)
LLM_CONTEXT_CHARS = env.int("LLM_CONTEXT_CHARS", default=40_000)

# --- broker -----------------------------------------------------------------------------------------
# Without BROKER_URL, `manage.py serve` starts the bundled Valkey on this socket.
VALKEY_SOCKET = valkey_socket(DATA_DIR)
BROKER_URL = env.str("BROKER_URL", default="")
CELERY_BROKER_URL = BROKER_URL or f"redis+socket://{VALKEY_SOCKET}"
# Where calls are counted: the broker's server, where that is a Redis or Valkey.
VALKEY_URL = env.str("VALKEY_URL", default="") or BROKER_URL or f"unix://{VALKEY_SOCKET}"
# A worker process that takes longer over one message is killed: it is stuck where nothing else can reach it.
TASK_TIME_LIMIT_SECONDS = env.int("TASK_TIME_LIMIT_SECONDS", default=3600)
# A worker process that has grown beyond this is replaced by a new one when its file is done.
WORKER_MAX_MEMORY_BYTES = env.int("WORKER_MAX_MEMORY_BYTES", default=2048 * MEGABYTE)
CELERY_TASK_TIME_LIMIT = TASK_TIME_LIMIT_SECONDS
CELERY_WORKER_MAX_MEMORY_PER_CHILD = WORKER_MAX_MEMORY_BYTES // 1024  # Celery counts kilobytes
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Longer than any message is worked on, or the broker would hand it to a second worker meanwhile.
    "visibility_timeout": TASK_TIME_LIMIT_SECONDS + 600,
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    # A request must not wait for a broker that is away: the row is written, and the sweep sends it again.
    "connect_retries_timeout": 0.5,
    "max_retries": 1,
    "interval_start": 0.1,
}
CELERY_TASK_ROUTES = {
    "workers.ingest.*": {"queue": "ingest"},
    "workers.copies.*": {"queue": "copies"},
    "workers.etl.*": {"queue": "etl"},
    "workers.maintenance.*": {"queue": "maintenance"},
    "workers.reembedding.*": {"queue": "reembedding"},
    "workers.runs.*": {"queue": "runs"},
}
USAGE_INTERVAL_SECONDS = env.int("USAGE_INTERVAL_SECONDS", default=15)
STORAGE_INTERVAL_SECONDS = env.int("STORAGE_INTERVAL_SECONDS", default=3600)
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"  # it keeps no file: every entry is due at every start
CELERY_BEAT_SCHEDULE = {
    "sweep": {
        "task": "workers.maintenance.sweep",
        "schedule": SWEEP_INTERVAL_SECONDS,
        "options": {"expires": SWEEP_INTERVAL_SECONDS},
    },
    "usage": {
        "task": "workers.maintenance.write_down_usage",
        "schedule": USAGE_INTERVAL_SECONDS,
        "options": {"expires": USAGE_INTERVAL_SECONDS},
    },
    "storage": {
        "task": "workers.maintenance.note_storage",
        "schedule": STORAGE_INTERVAL_SECONDS,
        "options": {"expires": STORAGE_INTERVAL_SECONDS},
    },
    "former-members": {
        "task": "workers.maintenance.forget_former_members",
        "schedule": 3600,
        "options": {"expires": 3600},
    },
    "events": {
        "task": "workers.maintenance.forget_old_events",
        "schedule": 3600,
        "options": {"expires": 3600},
    },
}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "maintenance"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True

# --- limits and usage -------------------------------------------------------------------------------
DEFAULT_PLAN = env.str("DEFAULT_PLAN", default="local")  # of new organizations
# Owned by one account, and made in a day; 0: any number.
MAX_ORGANIZATIONS_PER_ACCOUNT = env.int("MAX_ORGANIZATIONS_PER_ACCOUNT", default=20)
RATE_LIMITS_WHEN_DOWN = env.str("RATE_LIMITS_WHEN_DOWN", default="open")  # or "closed"
RATE_LIMIT_PER_ADDRESS = env.int("RATE_LIMIT_PER_ADDRESS", default=60)  # a minute; 0: no limit

# --- objects ----------------------------------------------------------------------------------------
HOST = env.str("HOST", default="127.0.0.1")
PORT = env.int("PORT", default=8000)
PUBLIC_URL = env.str("PUBLIC_URL", default=f"http://{HOST if HOST != '0.0.0.0' else '127.0.0.1'}:{PORT}")  # noqa: S104
OBJECT_STORE = env.str("OBJECT_STORE", default="folder")  # or "s3"


def _s3_client_config() -> object:
    """A store that hangs is given up within a lease: twice the read timeout, and what little comes between."""
    from botocore.config import Config  # an extra: only deployments on S3 have it

    return Config(
        signature_version="s3v4",
        connect_timeout=5,
        read_timeout=15,
        retries={"mode": "standard", "total_max_attempts": 2},
    )


_OBJECT_STORES = {
    "folder": {
        "BACKEND": "apps.knowledge.storage.folder.FolderStore",
        "OPTIONS": {"location": str(DATA_DIR / "objects")},
    },
    "s3": {
        "BACKEND": "apps.knowledge.storage.s3.S3Store",
        "OPTIONS": {
            "bucket_name": env.str("S3_BUCKET", default=""),
            "endpoint_url": env.str("S3_ENDPOINT_URL", default="") or None,
            "region_name": env.str("S3_REGION", default="us-east-1"),
            "client_config": _s3_client_config() if OBJECT_STORE == "s3" else None,
            "querystring_auth": True,
        },
    },
}
STORAGES = {
    "objects": _OBJECT_STORES[OBJECT_STORE],
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
STORAGE_EVENTS_QUEUE_URL = env.str("STORAGE_EVENTS_QUEUE_URL", default="")
STORAGE_EVENTS_ENDPOINT_URL = env.str("STORAGE_EVENTS_ENDPOINT_URL", default="") or None
STORAGE_EVENTS_INTERVAL_SECONDS = 5
if STORAGE_EVENTS_QUEUE_URL:
    CELERY_BEAT_SCHEDULE["storage-events"] = {
        "task": "workers.maintenance.consume_storage_events",
        "schedule": STORAGE_EVENTS_INTERVAL_SECONDS,
        # One that waited behind something else would only do what the next one does.
        "options": {"expires": STORAGE_EVENTS_INTERVAL_SECONDS},
    }
STORAGE_EVENTS_SECRET = env.str("STORAGE_EVENTS_SECRET", default="")
STORAGE_EVENTS_TOKEN = env.str("STORAGE_EVENTS_TOKEN", default="")
UPLOAD_URL_SECONDS = env.int("UPLOAD_URL_SECONDS", default=3600)
DOWNLOAD_URL_SECONDS = env.int("DOWNLOAD_URL_SECONDS", default=3600)
DOWNLOAD_REDIRECT_SECONDS = 60  # within which a browser follows a short link to the bytes
MAX_FILE_BYTES = env.int("MAX_FILE_BYTES", default=5 * 1024 * MEGABYTE)
MULTIPART_THRESHOLD_BYTES = env.int("MULTIPART_THRESHOLD_BYTES", default=100 * MEGABYTE)
MULTIPART_PART_BYTES = env.int("MULTIPART_PART_BYTES", default=64 * MEGABYTE)
# How long after somebody last asked for the URL of a part an upload in parts is given up.
MULTIPART_UPLOAD_SECONDS = env.int("MULTIPART_UPLOAD_SECONDS", default=86_400)

# --- retrieval --------------------------------------------------------------------------------------
QDRANT_URL = env.str("QDRANT_URL", default="")  # empty: Qdrant Edge in VECTOR_DIR
QDRANT_API_KEY = env.str("QDRANT_API_KEY", default="") or None
QDRANT_LAYOUT = {  # of the server's collections: apps/retrieval/engines/server_layout.py
    "shard_number": env.int("QDRANT_SHARD_NUMBER", default=0) or None,
    "replication_factor": env.int("QDRANT_REPLICATION_FACTOR", default=0) or None,
    "write_consistency_factor": env.int("QDRANT_WRITE_CONSISTENCY_FACTOR", default=0) or None,
    "on_disk_vectors": env.bool("QDRANT_ON_DISK_VECTORS", default=False),
    "on_disk_payload": env.bool("QDRANT_ON_DISK_PAYLOAD", default=True),
    "quantization": env.str("QDRANT_QUANTIZATION", default=""),  # or "int8"
    "hnsw_m": env.int("QDRANT_HNSW_M", default=16),
    "hnsw_ef_construct": env.int("QDRANT_HNSW_EF_CONSTRUCT", default=100),
}
VECTOR_DIR = DATA_DIR / "vectors"
EMBEDDING_MODEL = env.str("EMBEDDING_MODEL", default="all-minilm-l6-v2")  # of a new knowledge base
EMBEDDING_BACKEND = env.str("EMBEDDING_BACKEND", default="auto")  # or openvino, onnx, torch; auto: the first
EMBEDDING_CACHE_DIR = Path(env.str("EMBEDDING_CACHE_DIR", default=str(DATA_DIR / "models")))
EMBEDDING_THREADS = env.int("EMBEDDING_THREADS", default=0)  # 0: one per core
RERANKER_DIR = env.str("RERANKER_DIR", default="")  # empty: none
RERANK_PASSAGES = env.int("RERANK_PASSAGES", default=20)
RERANK_SECONDS = env.float("RERANK_SECONDS", default=2.0)

# --- HTTP -------------------------------------------------------------------------------------------
HTTP_THREADS = env.int("HTTP_THREADS", default=16)
TRUSTED_PROXIES = env.list("TRUSTED_PROXIES", default=[])  # addresses and networks
FORMER_MEMBER_RETENTION_DAYS = env.int("FORMER_MEMBER_RETENTION_DAYS", default=30)  # 0: for ever
AUDIT_RETENTION_DAYS = env.int("AUDIT_RETENTION_DAYS", default=365)  # 0: for ever
MAX_REQUEST_BYTES = env.int("MAX_REQUEST_BYTES", default=2 * MEGABYTE)  # of anything but an upload
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_REQUEST_BYTES  # forms; config/asgi.py sees to every other body
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.api.common.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser", "rest_framework.parsers.FormParser"],
    "DEFAULT_SCHEMA_CLASS": "apps.api.common.openapi.Schema",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Commonplace",
    "VERSION": "1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "apps.api.common.openapi.tell_headers",
    ],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
}

# --- logs -------------------------------------------------------------------------------------------
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname:<7} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {
        name: {"handlers": ["console"], "level": LOG_LEVEL, "propagate": False}
        for name in ("apps", "workers", "config")
    }
    # A scan's thousand 404s are no news; what answers 500 is.
    | {"django.request": {"handlers": ["console"], "level": "ERROR", "propagate": False}},
}
