"""A Qdrant server that is away, too busy, or set up wrongly: IndexUnavailable to a caller, and why to the operator."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from json import JSONDecodeError

from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from apps.retrieval.errors import IndexUnavailable

logger = logging.getLogger(__name__)
# The server read the request and calls it wrong. Whatever else it answers, the same request is right another day.
WRONG_REQUEST = (400, 409, 413, 422)
KEY_REFUSED = (401, 403)
TOO_SLOW_OR_TOO_MANY = (408, 429)
LONGEST_ANSWER_TOLD = 300

CHECK_THE_KEY = "QDRANT_API_KEY is missing, is not this server's, or may not do this."
CHECK_THE_ADDRESS = "QDRANT_URL may not be the address of a Qdrant server."


@contextmanager
def answering() -> Iterator[None]:
    """Turn the server's faults, the network's and the configuration's into IndexUnavailable, and log why.

    A request that the server calls wrong is a fault of ours, and passes through as UnexpectedResponse.
    """
    try:
        yield
    except ResourceExhaustedResponse as error:
        unavailable = _told(_status(429, str(error)))
        unavailable.retry_after_seconds = error.retry_after_s
        raise unavailable from error
    except UnexpectedResponse as error:
        status = error.status_code or 500
        if status in WRONG_REQUEST:
            raise
        body = error.content[:LONGEST_ANSWER_TOLD].decode(errors="replace")
        raise _told(_status(status, body), _advice(status)) from error
    except ResponseHandlingException as error:
        cause = error.source  # the network's; a ValueError is about an answer that no such server gives
        advice = CHECK_THE_ADDRESS if isinstance(cause, ValueError) else ""
        raise _told(f"{type(cause).__name__}: {cause}", advice) from error
    except (JSONDecodeError, UnicodeDecodeError) as error:  # a proxy's page, with a 200
        raise _told(f"its answer cannot be read, {error}", CHECK_THE_ADDRESS) from error
    except QdrantException as error:  # of a 429 whose Retry-After is a date
        raise _told(_status(429, str(error))) from error


def _told(why: str, advice: str = "") -> IndexUnavailable:
    why = " ".join(why.split()).rstrip(".")
    logger.warning("Qdrant does not answer as it should: %s", f"{why}. {advice}".rstrip())
    return IndexUnavailable()


def _advice(status: int) -> str:
    if status in KEY_REFUSED:
        return CHECK_THE_KEY
    return "" if status >= 500 or status in TOO_SLOW_OR_TOO_MANY else CHECK_THE_ADDRESS


def _status(status: int, body: str) -> str:
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
    return f"{status} {phrase}".rstrip() + (f": {body}" if body else "")
