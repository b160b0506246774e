"""What a new installation starts with: an administrator, an organization with its library, and a key."""

import json
import os
import secrets
from pathlib import Path
from typing import TypedDict

from django.conf import settings
from django.db import transaction

from apps.accounts.models import User
from apps.knowledge.knowledge_bases import default_library
from apps.orgs.keys import create_api_key
from apps.orgs.scope import tenant_scope
from apps.orgs.services import create_organization

EMAIL = "admin@example.com"
ORGANIZATION = "Commonplace"


class FirstRun(TypedDict):
    """The content of ``first-run.json``."""

    base_url: str
    email: str
    password: str
    organization_id: str
    knowledge_base_id: str
    api_key: str


def facts_path() -> Path:
    return Path(settings.DATA_DIR) / "first-run.json"


def ensure_first_run() -> FirstRun | None:
    """Make what a new installation needs, and write it down for its owner only.

    Returns the facts when this was the first run; later runs change nothing but a moved address.
    """
    with transaction.atomic():
        if User.objects.exists():
            _follow_address()
            return None
        password = secrets.token_urlsafe(15)
        admin = User.objects.create_superuser(EMAIL, password)
        organization = create_organization(name=ORGANIZATION, owner=admin)
        _, api_key = create_api_key(organization=organization, user=admin, name="first run")
        with tenant_scope(organization.pk):
            library = default_library()
        facts = FirstRun(
            base_url=settings.PUBLIC_URL,
            email=EMAIL,
            password=password,
            organization_id=organization.pk,
            knowledge_base_id=library.pk,
            api_key=api_key,
        )
        _write(facts)  # before the commit: a key that is in no file would be lost for good
    return facts


def _follow_address() -> None:
    try:
        facts: FirstRun = json.loads(facts_path().read_text())
    except (OSError, ValueError):
        return  # its owner moved it away, which is a good habit
    if facts["base_url"] != settings.PUBLIC_URL:
        facts["base_url"] = settings.PUBLIC_URL
        _write(facts)


def _write(facts: FirstRun) -> None:
    path = facts_path()
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(facts, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
