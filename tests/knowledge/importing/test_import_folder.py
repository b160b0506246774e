"""manage.py import_folder, run once, twice, broken off, and on what does not want to be imported."""

import fcntl
import os
import time
from collections.abc import Callable
from concurrent.futures import wait
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from pytest_django import Settings

from apps.knowledge import dispatch, leases
from apps.knowledge.importing import folder_import, importer
from apps.knowledge.knowledge_bases import create_knowledge_base
from apps.knowledge.management.commands import import_folder
from apps.knowledge.models import File
from apps.knowledge.search import search
from apps.knowledge.storage import object_store
from apps.knowledge.storage.contracts import StoreFull, StoreUnavailable
from apps.knowledge.sweep import sweep
from apps.knowledge.uploads import take_upload
from apps.orgs.models import Membership
from apps.orgs.scope import system_scope, tenant_scope
from tests.knowledge.importing.conftest import Library

Write = Callable[[str, bytes], Path]


def test_folder_is_imported_and_searchable(
    library: Library, write: Write, run_workers: Callable[[], int]
) -> None:
    write("a.txt", b"The heron waits at the weir.")
    write("deep/er/b.md", b"# Birds\n\nThe kingfisher dives.")
    done = library.run("--tag", "birds", "--tag", "river")
    assert (done.exit_code, done.output) == (0, "Done: 2 uploaded, 0 skipped.\n")
    files = library.files()
    assert set(files) == {"docs/a.txt", "docs/deep/er/b.md"}
    row = files["docs/deep/er/b.md"]
    assert (row.file_name, row.content_type, row.tags) == ("b.md", "text/markdown", ["birds", "river"])
    assert row.creator == library.organization_owner()
    assert {row.status for row in files.values()} == {"ENQUEUED"}
    run_workers()
    with tenant_scope(library.organization.pk):
        found = search(
            [library.knowledge_base], "Which bird dives?", metadata={"importPath": row.metadata["importPath"]}
        )
    assert [one.file.id for one in found] == [row.pk]
    waited = library.run("--wait")
    assert (waited.exit_code, waited.output) == (
        0,
        "Done: 2 unchanged, 0 skipped.\n2 files are READY, 0 are an ERROR.\n",
    )


def test_what_changed_keeps_its_id_and_its_old_text_until_the_new_one_is_ready(
    library: Library, write: Write, run_workers: Callable[[], int]
) -> None:
    def text() -> list[str]:
        with tenant_scope(library.organization.pk):
            return [one.passage.chunk.text for one in search([library.knowledge_base], "bird at the weir")]

    write("a.txt", b"A heron at the weir.")
    write("same.csv", b"x,y\n1,2\n")
    library.run()
    run_workers()
    before = library.files()["docs/a.txt"]
    write("a.txt", b"A kingfisher at the weir.")
    done = library.run()
    assert done.output == "Done: 1 replaced, 1 unchanged, 0 skipped.\n"
    assert library.files()["docs/a.txt"].pk == before.pk
    assert "A heron at the weir." in text()
    run_workers()
    assert "A heron at the weir." not in text()
    assert "A kingfisher at the weir." in text()
    assert library.run().output == "Done: 2 unchanged, 0 skipped.\n"


def test_change_of_a_file_that_waits_for_its_turn_is_what_is_read(
    library: Library, write: Write, run_workers: Callable[[], int]
) -> None:
    write("a.txt", b"A heron.")
    library.run()
    write("a.txt", b"A kingfisher.")
    assert library.run().output == "Done: 1 replaced, 0 skipped.\n"
    assert run_workers() == 1
    row = library.files()["docs/a.txt"]
    stat = object_store().stat(row.key)
    assert stat is not None
    assert (row.status, row.size_bytes, row.etag) == ("READY", 13, stat.etag)


def test_change_of_a_file_that_is_being_read_waits_for_the_end_of_that(
    library: Library, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.txt", b"A heron.")
    library.run()
    row = library.files()["docs/a.txt"]
    with tenant_scope(library.organization.pk):
        lease = leases.claim(row.pk, owner="tests")
    assert lease is not None
    write("a.txt", b"A kingfisher.")
    monkeypatch.setattr(import_folder, "POSTPONED_SECONDS", 0.5)
    done = library.run()
    assert (done.exit_code, "1 postponed" in done.output) == (1, True)
    assert library.content("docs/a.txt") == b"A heron."
    with tenant_scope(library.organization.pk):
        leases.complete(lease, chunk_count=1, page_count=None, payload={})
    assert library.run().output == "Done: 1 replaced, 0 skipped.\n"
    assert library.content("docs/a.txt") == b"A kingfisher."


def test_what_can_not_be_imported_is_named_with_the_reason(
    library: Library, write: Write, tmp_path: Path, settings: Settings
) -> None:
    settings.MAX_FILE_BYTES = 20
    write("good.txt", b"words")
    write("setup.exe", b"MZ")
    write("empty.txt", b"")
    write("large.txt", b"x" * 21)
    write(".hidden/a.txt", b"words")
    write(".b.txt", b"words")
    (tmp_path / "secret.txt").write_bytes(b"words")
    (library.folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (library.folder / "loop").symlink_to(library.folder)
    os.mkfifo(library.folder / "pipe.txt")
    done = library.run()
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "skipped    docs/.b.txt: hidden",
        "skipped    docs/.hidden: hidden",
        "skipped    docs/empty.txt: empty",
        "skipped    docs/large.txt: larger than the limit of 20 bytes",
        "skipped    docs/link.txt: a symbolic link",
        "skipped    docs/loop: a symbolic link",
        "skipped    docs/pipe.txt: not a regular file",
        "skipped    docs/setup.exe: its type is not supported",
        "Done: 1 uploaded, 8 skipped.",
    ]
    assert set(library.files()) == {"docs/good.txt"}


@pytest.mark.parametrize(
    ("name", "import_path", "file_name"),
    [
        (b"Gr\xc3\xb6\xc3\x9fe \xe6\x96\x87.txt", "docs/Größe 文.txt", "Größe 文.txt"),
        (b"caf\xe9.txt", "docs/caf\\xe9.txt", "caf\ufffd.txt"),
        (b"back\\slash.txt", "docs/back\\\\slash.txt", "back_slash.txt"),
        (b"caf\\xe9.txt", "docs/caf\\\\xe9.txt", "caf_xe9.txt"),  # and not what the first is told as
        (b"new\nline\x1b[2J.txt", "docs/new\nline\x1b[2J.txt", "new_line_[2J.txt"),
        (b"\xe2\x80\xaetxt.txt", "docs/\u202etxt.txt", "_txt.txt"),
        (b"'; DROP TABLE.txt", "docs/'; DROP TABLE.txt", "'; DROP TABLE.txt"),
        (b"x" * 251 + b".txt", "docs/" + "x" * 251 + ".txt", "x" * 251 + ".txt"),
    ],
)
def test_odd_name_is_imported_once(library: Library, name: bytes, import_path: str, file_name: str) -> None:
    Path(os.fsdecode(os.fsencode(library.folder) + b"/" + name)).write_bytes(b"words")
    assert library.run().exit_code == 0
    assert library.run().output == "Done: 1 unchanged, 0 skipped.\n"
    assert {path: row.file_name for path, row in library.files().items()} == {import_path: file_name}


def test_folder_that_becomes_a_link_while_it_is_imported_leads_nowhere(
    library: Library, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("d/a.txt", b"words")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.txt").write_bytes(b"of no business here")

    def swap(*args: Any) -> Any:  # after the folder was looked through
        (library.folder / "d").rename(tmp_path / "aside")
        (library.folder / "d").symlink_to(outside)
        return importer.known_files(*args)

    monkeypatch.setattr(import_folder, "known_files", swap)
    done = library.run()
    assert (done.exit_code, library.files()) == (1, {})
    assert "failed     docs/d/a.txt: it was moved while it was being imported" in done.output


def test_organization_without_an_owner_is_told(library: Library, write: Write) -> None:
    write("a.txt", b"words")
    with tenant_scope(library.organization.pk):
        Membership.objects.all().delete()
    with pytest.raises(CommandError, match="has no owner"):
        library.run()


def test_folder_that_is_too_deep_is_left_out(library: Library, write: Write) -> None:
    write("a.txt", b"words")
    write("d/" * 600 + "deep.txt", b"words")
    done = library.run()
    assert done.exit_code == 0
    assert "its path is longer than 1000 characters" in done.output
    assert set(library.files()) == {"docs/a.txt"}


def test_unreadable_file_fails_alone(library: Library, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("a.txt", b"words")
    write("b.txt", b"words")
    opened = importer._opened

    def deny(path: Path) -> Any:
        if path.name == "a.txt":
            raise PermissionError(13, "Permission denied")
        return opened(path)

    with monkeypatch.context() as patch:
        patch.setattr(importer, "_opened", deny)
        done = library.run("--jobs", "1")
    assert done.exit_code == 1
    assert "failed     docs/a.txt: Permission denied" in done.output
    assert "Done: 1 uploaded, 1 failed, 0 skipped." in done.output
    assert library.run().output == "Done: 1 uploaded, 1 unchanged, 0 skipped.\n"


@pytest.mark.parametrize("fault", [StoreUnavailable(), StoreFull()])
def test_fault_of_the_store_is_told_and_the_next_run_goes_on(
    library: Library, write: Write, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        write(f"{number:02}.txt", b"words %d" % number)
    store = type(object_store())
    written = store.write

    def fail_in_between(self: Any, *args: Any, **options: Any) -> None:
        if len(list(object_store().keys(f"orgs/{library.organization.pk}/"))) >= 5:
            raise fault
        written(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(store, "write", fail_in_between)
        done = library.run("--jobs", "1")
    assert done.exit_code == 1
    assert "5 uploaded" in done.output
    assert ("not begun" in done.output) == isinstance(fault, StoreFull), "no use in trying the rest"
    assert library.run().exit_code == 0
    assert {path: library.content(path) for path in library.files()} == {
        f"docs/{number:02}.txt": b"words %d" % number for number in range(20)
    }
    assert {row.status for row in library.files().values()} == {"ENQUEUED"}


def test_upload_that_died_before_its_bytes_and_was_given_up_is_gone_on_with(
    library: Library, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.txt", b"words")
    with monkeypatch.context() as patch:
        patch.setattr(type(object_store()), "write", _unavailable)
        library.run()
    past = timezone.now() - timedelta(days=1)
    with system_scope("test"):
        File.objects.update(created_at=past, upload_expires_at=past)
    assert sweep().uploads_expired == 1
    assert library.run().output == "Done: 1 uploaded, 0 skipped.\n"
    assert library.files()["docs/a.txt"].status == "ENQUEUED"


def test_upload_that_died_behind_its_bytes_is_not_sent_twice(
    library: Library, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.txt", b"words")
    with monkeypatch.context() as patch:
        patch.setattr(importer, "take_upload", _unavailable)
        assert library.run().exit_code == 1
    with monkeypatch.context() as patch:
        patch.setattr(type(object_store()), "write", _unavailable)
        assert library.run().output == "Done: 1 uploaded, 0 skipped.\n"
    assert library.files()["docs/a.txt"].status == "ENQUEUED"


def test_what_a_sweep_took_meanwhile_is_not_queued_twice(
    library: Library, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.txt", b"words")

    def after_another(file: File) -> bool:
        with system_scope("test"):
            assert take_upload(File.objects.get(pk=file.pk))
        return take_upload(file)

    monkeypatch.setattr(importer, "take_upload", after_another)
    assert library.run().output == "Done: 1 uploaded, 0 skipped.\n"
    assert library.run().output == "Done: 1 unchanged, 0 skipped.\n"


def test_dry_run_changes_nothing(library: Library, write: Write) -> None:
    write("a.txt", b"words")
    write("b.txt", b"words")
    library.run()
    write("b.txt", b"other words")
    write("c.txt", b"words")
    before = {path: row.updated_at for path, row in library.files().items()}
    done = library.run("--dry-run")
    assert done.output.splitlines() == [
        "unchanged  docs/a.txt",
        "replaced   docs/b.txt",
        "uploaded   docs/c.txt",
        "Would be: 1 uploaded, 1 replaced, 1 unchanged, 0 skipped.",
    ]
    assert {path: row.updated_at for path, row in library.files().items()} == before


def test_wait_tells_what_became_an_error(
    library: Library, write: Write, run_workers: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("good.txt", b"words")
    write("bad.pdf", b"not a PDF at all")
    monkeypatch.setattr(time, "sleep", lambda _: run_workers())
    done = library.run("--wait")
    assert done.exit_code == 1
    assert "error      docs/bad.pdf: The file says it is a PDF document" in done.output
    assert "1 files are READY, 1 are an ERROR." in done.output


def test_interrupted_import_says_how_far_it_came(
    library: Library, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        write(f"{number:02}.txt", b"words")
    imported: list[str] = []

    def counted(*args: Any, **options: Any) -> Any:
        imported.append(args[0].import_path)
        return importer.import_file(*args, **options)

    def interrupt(*args: Any, **options: Any) -> Any:
        if len(imported) >= 5:
            raise KeyboardInterrupt
        return wait(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(folder_import, "import_file", counted)
        patch.setattr(folder_import, "wait", interrupt)
        done = library.run("--jobs", "2")
    assert done.exit_code == 130
    assert done.output.startswith("Interrupted; run it again to go on: ")
    assert len(imported) < 20
    assert library.run().exit_code == 0
    assert len(library.files()) == 20


def test_two_imports_of_one_folder_do_not_run_at_once(library: Library, write: Write) -> None:
    write("a.txt", b"words")
    other = os.open(library.folder, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(CommandError, match="Another import"):
        library.run()
    os.close(other)
    assert library.run().exit_code == 0


def test_import_without_a_broker_sends_nothing_and_the_next_sweep_everything(
    library: Library, write: Write, run_workers: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.txt", b"words")
    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "queued_messages", lambda: None)
        done = library.run()
    assert done.output.startswith("No broker answers")
    assert run_workers() == 0
    sweep(is_queue_new=True)
    assert run_workers() == 1
    assert library.files()["docs/a.txt"].status == "READY"


def test_another_knowledge_base_and_another_name(library: Library, write: Write) -> None:
    write("a.txt", b"words")
    with tenant_scope(library.organization.pk):
        other = create_knowledge_base(
            organization=library.organization, creator=library.organization_owner(), title="Other"
        )
    assert library.run("--knowledge-base", other.pk, "--as", "archive").exit_code == 0
    assert {path: row.knowledge_base_id for path, row in library.files().items()} == {
        "archive/a.txt": other.pk
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ["/nowhere/at/all", "--organization", "org-1"],
        [".", "--organization", "org-nobody"],
        [".", "--organization", "OURS", "--knowledge-base", "kb-nobody"],
        [".", "--organization", "OURS", "--jobs", "0"],
    ],
)
def test_wrong_arguments_are_told(library: Library, arguments: list[str], tmp_path: Path) -> None:
    told = [str(tmp_path) if part == "." else part for part in arguments]
    with pytest.raises(CommandError):
        call_command("import_folder", *(library.organization.pk if part == "OURS" else part for part in told))


def _unavailable(*_: object, **__: object) -> None:
    raise StoreUnavailable
