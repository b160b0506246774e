"""Times as the API tells them."""

from datetime import UTC, datetime


def rfc3339(moment: datetime) -> str:
    """An aware moment in UTC, with ``Z``: as serializers tell it, for what is written down as JSON."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
