"""What may stand in a URL where an id is expected."""

from django.urls import register_converter

from apps.base.identifiers import MAX_LENGTH


class IdConverter:
    """Nothing else reaches the database: a path with a NUL or of great length is simply unknown."""

    regex = rf"[0-9A-Za-z_-]{{1,{MAX_LENGTH}}}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(IdConverter, "id")
