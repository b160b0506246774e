"""Triggers that keep events as they were written, on SQLite and on PostgreSQL.

They are made after every migration, not in one: Django rebuilds a SQLite table to alter it, which drops its triggers.
"""

from typing import Any

from django.db import connections

_SQLITE = (
    "DROP TRIGGER IF EXISTS event_unchanged",
    "DROP TRIGGER IF EXISTS event_kept",
    """CREATE TRIGGER event_unchanged BEFORE UPDATE ON events_event
    BEGIN SELECT RAISE(ABORT, 'Events are append-only.'); END""",
    """CREATE TRIGGER event_kept BEFORE DELETE ON events_event WHEN NOT EXISTS (SELECT 1 FROM events_purge)
    BEGIN SELECT RAISE(ABORT, 'Events are append-only.'); END""",
)
_POSTGRESQL = (
    """CREATE OR REPLACE FUNCTION event_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND EXISTS (SELECT 1 FROM events_purge) THEN RETURN OLD; END IF;
        RAISE EXCEPTION 'Events are append-only.' USING ERRCODE = 'integrity_constraint_violation';
    END $$""",
    """CREATE OR REPLACE TRIGGER event_append_only BEFORE UPDATE OR DELETE ON events_event
    FOR EACH ROW EXECUTE FUNCTION event_append_only()""",
)


def install_triggers(using: str, **_: Any) -> None:
    """Make the triggers anew. Safe to repeat."""
    connection = connections[using]
    with connection.cursor() as cursor:
        if "events_purge" not in connection.introspection.table_names(cursor):
            return  # migrated back to before they were
        for statement in _SQLITE if connection.vendor == "sqlite" else _POSTGRESQL:
            cursor.execute(statement)
