"""What of a step's parameters is not for everybody who may read it: tokens in headers, bodies and addresses."""

import re
from typing import Any

MASK = "********"
_NAMES = (
    r"authorization|cookie|token|secret|passw|credential|signature|api-?_?key|access-?_?key|^key$|[-_]key$"
)
_SENSITIVE = re.compile(_NAMES, re.IGNORECASE)
_IN_ADDRESS = re.compile(r"([?&])([^=&#]+)=([^&#]+)")


def masked_values(value: Any) -> Any:
    """Objects without the texts that their keys say are secret, however deep."""
    match value:
        case dict():
            return {key: _masked(str(key), item) for key, item in value.items()}
        case list():
            return [masked_values(item) for item in value]
    return value


def masked_address(url: Any) -> Any:
    """An address without the values of its query that are named like a secret."""

    def kept(found: re.Match[str]) -> str:
        mark, name, value = found.groups()
        return f"{mark}{name}={MASK if _SENSITIVE.search(name) else value}"

    return _IN_ADDRESS.sub(kept, url) if isinstance(url, str) else url


def _masked(key: str, item: Any) -> Any:
    return MASK if isinstance(item, str) and item and _SENSITIVE.search(key) else masked_values(item)
