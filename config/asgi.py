"""The ASGI application. A process behind uvicorn, or `manage.py serve`, imports this."""

import os
from typing import Any, cast

import django
from asgiref.typing import ASGI3Application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")
django.setup(set_prefix=False)  # first: it loads the apps that the imports below need

from django.conf import settings  # noqa: E402
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware  # noqa: E402

from apps.api.common.body_limit import BodyLimit  # noqa: E402
from apps.api.error_pages import refusal  # noqa: E402
from apps.api.limits import max_request_bytes  # noqa: E402
from config.asgi_handler import ThreadPoolHandler  # noqa: E402
from config.checks import refuse_to_start_incomplete  # noqa: E402

refuse_to_start_incomplete()

limited = BodyLimit(
    cast(ASGI3Application, ThreadPoolHandler(threads=settings.HTTP_THREADS, apart=("/healthz",))),
    limit_for=max_request_bytes,
    refuse=refusal,
)
# The client's address and scheme, where a proxy that is trusted tells them.
application = ProxyHeadersMiddleware(cast(Any, limited), trusted_hosts=settings.TRUSTED_PROXIES)
