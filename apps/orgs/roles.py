"""What each role may do. One table; every permission check reads it."""

from enum import StrEnum

from django.db import models


class Ability(StrEnum):
    """What a caller may do in an organization. API keys carry a subset of these as their scopes."""

    READ = "read"  # list, read, search, download
    WRITE = "write"  # create, change and delete knowledge bases and files
    MANAGE = "manage"  # members, API keys, the organization's settings
    OWN = "own"  # delete or transfer the organization


class Role(models.TextChoices):
    OWNER = "OWNER"
    ADMIN = "ADMIN"
    EDITOR = "EDITOR"
    VIEWER = "VIEWER"


ABILITIES: dict[str, frozenset[Ability]] = {
    Role.VIEWER: frozenset({Ability.READ}),
    Role.EDITOR: frozenset({Ability.READ, Ability.WRITE}),
    Role.ADMIN: frozenset({Ability.READ, Ability.WRITE, Ability.MANAGE}),
    Role.OWNER: frozenset(Ability),
}
