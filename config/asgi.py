"""The ASGI application. A process behind uvicorn, or `manage.py serve`, imports this."""

import os
from typing import cast

from asgiref.typing import ASGI3Application
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.production")
django_application = get_asgi_application()  # first: it loads the apps that the imports below need

from apps.api.common.body_limit import BodyLimit  # noqa: E402
from apps.api.error_pages import envelope_at  # noqa: E402
from apps.api.limits import max_request_bytes  # noqa: E402
from config.checks import refuse_to_start_incomplete  # noqa: E402

refuse_to_start_incomplete()

application = BodyLimit(
    cast(ASGI3Application, django_application), limit_for=max_request_bytes, render=envelope_at
)
