"""Reading a JSON body without trusting it."""

from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.utils import json


class JsonObjectParser(JSONParser):
    """JSON whose outermost value is an object, in UTF-8 whatever the charset parameter says (RFC 8259)."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            body = json.loads(stream.read().decode("utf-8-sig"), parse_constant=json.strict_constant)
        except ValueError as error:  # UnicodeDecodeError is one
            raise ParseError(f"The body is not JSON: {error}") from error
        except RecursionError as error:
            raise ParseError("The body is not JSON that can be read: it is nested too deeply.") from error
        if not isinstance(body, dict):
            raise ParseError("The body must be a JSON object.")
        return body
