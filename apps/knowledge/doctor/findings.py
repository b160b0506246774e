"""What can be wrong between rows, objects and vectors, and the report that counts it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

MAX_EXAMPLES = 5  # kept of each kind, so that a report stays small however ill the patient is


class Kind(Enum):
    """``(code, what it is, what helps)``."""

    MISSING_OBJECT = (
        "missing_object",
        "files whose bytes are gone",
        "Their text can still be found. Bring the objects back from a backup, or delete the files and upload "
        "them again. Many at once: is it the right store?",
    )
    ORPHAN_OBJECT = (
        "orphan_object",
        "objects without a file",
        "--repair deletes them, but for the last copy of a file that expects its bytes elsewhere.",
    )
    ORPHAN_PARTS = (
        "orphan_parts",
        "uploads in parts that no file waits for",
        "--repair removes their parts.",
    )
    ORPHAN_VECTORS = (
        "orphan_vectors",
        "revisions in the index that no file has",
        "--repair deletes their vectors.",
    )
    CHUNK_COUNT = (
        "chunk_count",
        "files whose passages the index does not hold exactly",
        "--repair queues them to be indexed again.",
    )
    NOT_REEMBEDDED = (
        "not_reembedded",
        "files with passages of another model, or of an earlier revision of their own, alone",
        "Searches don't find them. --repair has their knowledge bases embedded by their own model, as "
        "manage.py reembed does.",
    )
    UNUSED_VECTORS = (
        "unused_vectors",
        "files with vectors of a model that their knowledge base does not use",
        "--repair deletes these vectors.",
    )
    EXPIRED_LEASE = ("expired_lease", "files whose worker vanished", "The sweep queues them again.")
    FORGOTTEN = ("forgotten", "files that wait without a message in the queue", "The sweep sends them again.")
    OVERDUE_TOMBSTONE = ("overdue_tombstone", "deletions that are not proven yet", "The sweep tries again.")

    def __init__(self, code: str, title: str, remedy: str) -> None:
        self.code = code
        self.title = title
        self.remedy = remedy

    @property
    def is_for_the_sweep(self) -> bool:
        return self in {Kind.EXPIRED_LEASE, Kind.FORGOTTEN, Kind.OVERDUE_TOMBSTONE}


@dataclass(slots=True)
class Finding:
    """``repaired`` of the ``found`` were repaired, or are queued to be."""

    kind: Kind
    found: int = 0
    repaired: int = 0
    examples: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What was looked at, and what of it is wrong.

    ``is_sweep_expected``: other processes run meanwhile, so what the sweep should have helped is wrong; where
    nothing else can run it only waits for the next start. ``too_young`` objects and revisions have no row, but
    the file's id is so new that its row may be about to be committed.
    """

    is_sweep_expected: bool
    files: int = 0
    objects: int = 0
    revisions: int = 0
    vectors: int = 0
    too_young: int = 0
    findings: dict[Kind, Finding] = field(default_factory=dict)

    def tell(self, kind: Kind, examples: Iterable[str], *, found: int = 1, repaired: int = 0) -> None:
        finding = self.findings.setdefault(kind, Finding(kind))
        finding.found += found
        finding.repaired += repaired
        room = MAX_EXAMPLES - len(finding.examples)
        finding.examples += list(examples)[:room]

    def found(self, kind: Kind) -> int:
        finding = self.findings.get(kind)
        return finding.found if finding else 0

    def is_wrong(self, finding: Finding) -> bool:
        """Whether there is something left that should not be."""
        waits_rightly = finding.kind.is_for_the_sweep and not self.is_sweep_expected
        return finding.found > finding.repaired and not waits_rightly

    @property
    def is_well(self) -> bool:
        return not any(self.is_wrong(finding) for finding in self.findings.values())

    def as_json(self) -> dict[str, Any]:
        return {
            "is_well": self.is_well,
            "checked": {
                "files": self.files,
                "objects": self.objects,
                "revisions": self.revisions,
                "vectors": self.vectors,
                "too_young": self.too_young,
            },
            "findings": [
                {
                    "kind": finding.kind.code,
                    "title": finding.kind.title,
                    "found": finding.found,
                    "repaired": finding.repaired,
                    "is_wrong": self.is_wrong(finding),
                    "remedy": finding.kind.remedy,
                    "examples": finding.examples,
                }
                for finding in self.findings.values()
            ],
        }
