"""What boto3 raises, in our own words."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from apps.knowledge.storage.contracts import StoreUnavailable


@contextmanager
def faults_told() -> Iterator[None]:
    """Raises StoreUnavailable when the store is away or unwell."""
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StoreUnavailable(f"The object store does not answer ({type(error).__name__}).") from error


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
