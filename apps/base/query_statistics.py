"""What the database's planner knows of the tables."""

from django.db import connection

ROWS_LOOKED_AT = 1000  # of each index, so that it takes milliseconds, however large the tables are


def refresh_query_statistics() -> None:
    """Have SQLite count what its planner goes by. Without it, ten files are looked for among all of an organization's,
    not by their ids. Connections that are open see it once they open anew. PostgreSQL does this by itself."""
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA analysis_limit = {ROWS_LOOKED_AT}")
        cursor.execute("ANALYZE")
