import json
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from apps.base.errors import CommonplaceError, NotFound
from apps.knowledge import doctor
from apps.knowledge.doctor import Report
from apps.knowledge.doctor.examination import GRACE
from apps.orgs.models import Organization
from apps.retrieval import runtime
from apps.retrieval.errors import IndexLocked

SOMETHING_IS_WRONG, COULD_NOT_LOOK = 1, 2


class Command(BaseCommand):
    help = (
        "Compare the database, the object store and the search index, and tell what disagrees. "
        "Exit code 0: all is well; 1: something is wrong; 2: it could not be looked at."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--organization", metavar="ID", help="Look at one only. Default: at all.")
        parser.add_argument(
            "--repair", action="store_true", help="Delete orphans, and index again what is not whole."
        )
        parser.add_argument(
            "--force", action="store_true", help="Repair even where most of what is stored has no file."
        )
        parser.add_argument("--json", action="store_true", help="Print the report as JSON.")
        parser.add_argument(
            "--grace-seconds",
            type=int,
            default=int(GRACE.total_seconds()),
            help="Leave alone what is without a file and younger than this. Default: %(default)s.",
        )

    def run_from_argv(self, argv: list[str]) -> None:
        try:
            super().run_from_argv(argv)
        finally:
            runtime.close()  # of this process; one that calls the command goes on using its own

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = self._report(options)
        except IndexLocked as error:
            raise CommandError(
                "Another process, most likely the server, has the search index open, and only one can. "
                "Stop the server first.",
                returncode=COULD_NOT_LOOK,
            ) from error
        except CommonplaceError as error:
            raise CommandError(error.message, returncode=COULD_NOT_LOOK) from error
        except DatabaseError as error:
            raise CommandError(
                f"The database could not be read: {error}", returncode=COULD_NOT_LOOK
            ) from error
        self.stdout.write(json.dumps(report.as_json(), indent=2) if options["json"] else _table(report))
        if not report.is_well:
            raise CommandError("Something is wrong.", returncode=SOMETHING_IS_WRONG)

    def _report(self, options: dict[str, Any]) -> Report:
        organization_id = options["organization"]
        if organization_id and not Organization.objects.filter(pk=organization_id).exists():
            raise NotFound(
                f"There is no organization {organization_id}. What is left of a deleted one is found "
                "without --organization."
            )
        grace = timedelta(seconds=options["grace_seconds"])
        if options["repair"]:
            return doctor.repair(organization_id, grace=grace, is_forced=options["force"])
        return doctor.examine(organization_id, grace=grace)


def _table(report: Report) -> str:
    lines = [
        f"Looked at {report.files} files, {report.objects} objects, and {report.vectors} vectors "
        f"in {report.revisions} revisions."
    ]
    if report.too_young:
        lines.append(f"{report.too_young} without a file are too young to judge.")
    if report.findings:
        lines += ["", "  found  repaired  what"]
    for finding in report.findings.values():
        lines.append(f"{finding.found:>7}  {finding.repaired:>8}  {finding.kind.title}")
        lines += [f"{'':19}  {example}" for example in finding.examples]
        if finding.found > len(finding.examples):
            lines.append(f"{'':19}  and {finding.found - len(finding.examples)} more")
        if report.is_wrong(finding):
            lines.append(f"{'':19}→ {finding.kind.remedy}")
        elif finding.repaired < finding.found:
            lines.append(f"{'':19}→ {finding.kind.remedy} It does so when the server starts.")
    if report.is_well:
        lines += ["", "All is well."]
    return "\n".join(lines)
