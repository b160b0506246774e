"""A folder to import, and the command, which has threads and so needs rows that are really there."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.core.management import call_command

from apps.accounts.models import User
from apps.knowledge.knowledge_bases import default_library
from apps.knowledge.models import File, KnowledgeBase
from apps.knowledge.storage import object_store
from apps.orgs.models import Organization, Plan
from apps.orgs.scope import tenant_scope
from apps.orgs.services import create_organization


@pytest.fixture
def organization(transactional_db: None) -> Organization:
    Plan.objects.get_or_create(name="local")  # which a transactional test before this one may have flushed
    owner = User.objects.create_user("import@example.com", "correct horse battery")
    made: Organization = create_organization(name="Import", owner=owner)
    return made


@dataclass
class Imported:
    """How one run of the command ended."""

    exit_code: int
    output: str


@dataclass
class Library:
    organization: Organization
    folder: Path
    knowledge_base: KnowledgeBase = field(init=False)

    def __post_init__(self) -> None:
        with tenant_scope(self.organization.pk):
            self.knowledge_base = default_library()

    def run(self, *options: str) -> Imported:
        output = io.StringIO()
        try:
            call_command(
                "import_folder",
                str(self.folder),
                "--organization",
                self.organization.pk,
                *options,
                stdout=output,
            )
        except SystemExit as end:
            return Imported(int(end.code or 0), output.getvalue())
        return Imported(0, output.getvalue())

    def organization_owner(self) -> User:
        return User.objects.get(email="import@example.com")

    def files(self) -> dict[str, File]:
        """Rows by their import paths; fails where two have the same."""
        with tenant_scope(self.organization.pk):
            rows = list(File.objects.all())
        by_path = {row.metadata["importPath"]: row for row in rows}
        assert len(by_path) == len(rows), "something was imported twice"
        return by_path

    def content(self, import_path: str) -> bytes:
        with object_store().local_copy(self.files()[import_path].key) as path:
            return path.read_bytes()


@pytest.fixture
def library(organization: Organization, tmp_path: Path) -> Library:
    folder = tmp_path / "docs"
    folder.mkdir()
    return Library(organization, folder)


@pytest.fixture
def write(library: Library) -> Callable[[str, bytes], Path]:
    def do(name: str, data: bytes) -> Path:
        path = library.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    return do
