"""People. An account exists on its own; organizations come to it by membership."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.db import models, transaction
from django.db.models.functions import Lower

from apps.accounts.signals import account_changed
from apps.base import identifiers

# What an account's rights, and who can sign in to it, hang on.
WATCHED = ("email", "password", "is_active", "is_staff", "is_superuser")


class UserManager(BaseUserManager["User"]):
    use_in_migrations = False

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Make an account. Without a password it can't log in until one is set."""
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractUser):
    """An account, known by its e-mail address, which is unique whatever its case."""

    id = models.CharField(
        primary_key=True, max_length=identifiers.MAX_LENGTH, default=identifiers.new_user_id, editable=False
    )
    username = None  # type: ignore[assignment]  # the documented way to drop AbstractUser's field
    email = models.EmailField("e-mail address", unique=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]  # another manager than AbstractUser's

    class Meta:
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_unique_any_case")]

    def __str__(self) -> str:
        return self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Announces what was changed of it that matters for the audit log, by whatever way it comes."""
        fields = kwargs.get("update_fields")
        watched = WATCHED if fields is None else tuple(set(WATCHED).intersection(fields))
        if self._state.adding or not watched or args:
            super().save(*args, **kwargs)
            return
        # A hash that is only made anew, as the settings have it by now, at a sign-in.
        is_rehash = (
            watched == ("password",)
            and getattr(self, "_password", None) is None
            and self.has_usable_password()
        )
        with transaction.atomic():
            before = User.objects.filter(pk=self.pk).values(*watched).first()
            super().save(**kwargs)
            if before is not None and not is_rehash:
                for kind, payload in _changes(before, {name: getattr(self, name) for name in watched}):
                    account_changed.send(sender=User, user=self, kind=kind, payload=payload)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The kinds of events that tell of a change. Of a password nothing is told but that it is another."""
    changed = {name for name in before if before[name] != after[name]}
    if "password" in changed:
        yield "account.password_changed", {}
    if "is_active" in changed:
        yield ("account.reactivated" if after["is_active"] else "account.deactivated"), {}
    if told := changed & {"is_staff", "is_superuser"}:
        yield "account.staff_changed", _before_and_after(told, before, after)
    if "email" in changed:
        yield "account.address_changed", _before_and_after({"email"}, before, after)


def _before_and_after(
    names: set[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    names_in_events = {"is_staff": "isStaff", "is_superuser": "isSuperuser"}
    return {
        when: {names_in_events.get(name, name): values[name] for name in sorted(names)}
        for when, values in (("before", before), ("after", after))
    }
