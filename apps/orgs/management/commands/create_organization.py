import json
import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from apps.accounts.models import User
from apps.base.errors import CommonplaceError
from apps.orgs.keys import create_api_key
from apps.orgs.services import create_organization


class Command(BaseCommand):
    help = (
        "Make an organization with its library, an owner and an API key, and print them as JSON. "
        "An account that exists becomes the owner; for a new one a password is made and printed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--owner", required=True, metavar="EMAIL")
        parser.add_argument("--plan", help="Default: as DEFAULT_PLAN says.")
        parser.add_argument(
            "--staff", action="store_true", help="Let the owner into /admin/, also one that there was."
        )

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        facts = {"email": options["owner"].lower()}
        owner = User.objects.filter(email=facts["email"]).first()
        if owner is None:
            facts["password"] = secrets.token_urlsafe(15)
            make = User.objects.create_superuser if options["staff"] else User.objects.create_user
            owner = make(facts["email"], facts["password"])
        elif options["staff"]:
            owner.is_staff = owner.is_superuser = True
            owner.save(update_fields=["is_staff", "is_superuser"])
        try:
            organization = create_organization(name=options["name"], owner=owner, plan=options["plan"])
        except CommonplaceError as error:
            raise CommandError(error.message) from error
        _, facts["api_key"] = create_api_key(organization=organization, user=owner, name="first key")
        facts["organization_id"] = organization.pk
        self.stdout.write(json.dumps(facts, indent=2))
