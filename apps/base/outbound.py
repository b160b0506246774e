"""HTTP to addresses that users name, kept from what only this machine and its network may reach.

Names are resolved here, every address is checked, and the connection goes to an address that was checked: a name
that says something else at its second asking gains nothing. Each redirect is a new connection, checked anew.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import httpcore
from django.conf import settings
from httpcore import NetworkBackend, NetworkStream, SyncBackend

from apps.base.errors import CommonplaceError, TemporarilyUnavailable, ValidationFailed

MAX_REDIRECTS = 5
MAX_URL_CHARS = 2000
CONNECT_TIMEOUT_SECONDS = 5.0
_REDIRECTS = {301, 302, 303, 307, 308}
# What is kept when a redirect leads to another host: nothing that could be a secret.
_SAFE_HEADERS = {b"accept", b"accept-language", b"content-type", b"user-agent"}
_OURS = {b"host", b"content-length", b"transfer-encoding", b"connection", b"accept-encoding"}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressForbidden(ValidationFailed):
    code = "address_forbidden"
    default_message = "This address may not be called."


class HostUnreachable(TemporarilyUnavailable):
    code = "host_unreachable"
    default_message = "The host did not answer."


class AnswerTooLarge(CommonplaceError):
    code = "answer_too_large"
    http_status = 400


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    url: str  # that answered: after redirects


def check_url(url: str) -> None:
    """Raises AddressForbidden for what is no http or https URL, and for hosts the settings do not allow. The address
    itself is checked when it is called."""
    _split(url)


def fetch(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    timeout_seconds: float,
    max_bytes: int,
) -> Answer:
    """Call a URL and follow its redirects, all of it within ``timeout_seconds``.

    Raises AddressForbidden, HostUnreachable (retryable) and AnswerTooLarge. Any status is an answer.
    """
    deadline = time.monotonic() + timeout_seconds
    sent = _headers(headers or {})
    for _ in range(MAX_REDIRECTS + 1):
        answer = _call(method, url, sent, body, deadline=deadline, max_bytes=max_bytes)
        location = answer.headers.get("location")
        if answer.status not in _REDIRECTS or not location:
            return answer
        target = urljoin(url, location)
        if urlsplit(target)[:2] != urlsplit(url)[:2]:
            sent = [(name, value) for name, value in sent if name.lower() in _SAFE_HEADERS]
        if answer.status == 303 or (answer.status in {301, 302} and method not in {"GET", "HEAD"}):
            method, body = "GET", b""
        url = target
    raise HostUnreachable(f"The host redirects more than {MAX_REDIRECTS} times.")


def _call(
    method: str,
    url: str,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    *,
    deadline: float,
    max_bytes: int,
) -> Answer:
    target = _split(url)
    backend = _GuardedBackend(deadline)
    try:
        with (
            httpcore.ConnectionPool(
                ssl_context=ssl.create_default_context(), network_backend=backend, retries=0
            ) as pool,
            pool.stream(method, target, headers=headers, content=body) as response,
        ):
            received = bytearray()
            for piece in response.iter_stream():
                received += piece
                if len(received) > max_bytes:
                    raise AnswerTooLarge(f"The answer is larger than {max_bytes} bytes.")
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
        raise HostUnreachable(
            f"{urlsplit(url).hostname} did not answer: {error or type(error).__name__}."
        ) from error
    told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
    return Answer(response.status, told, bytes(received), url)


def _split(url: str) -> str:
    """The URL in ASCII. Raises AddressForbidden."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        name = host.encode("idna").decode() if not host.isascii() else host
    except (ValueError, UnicodeError) as error:
        raise AddressForbidden("This is not a URL.") from error
    if len(url) > MAX_URL_CHARS or parts.scheme not in {"http", "https"} or not name:
        raise AddressForbidden(f"An http or https URL of at most {MAX_URL_CHARS} characters is expected.")
    if parts.username or parts.password:
        raise AddressForbidden("A URL may not carry a login. Send a header instead.")
    if settings.OUTBOUND_HOSTS and not _is_listed(name, settings.OUTBOUND_HOSTS):
        raise AddressForbidden(f"The operator does not allow calls to {name}.")
    shown = f"[{name}]" if ":" in name else name
    path = _escaped(parts.path or "/")
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}{path}" + (
        f"?{_escaped(parts.query)}" if parts.query else ""
    )


def _escaped(text: str) -> str:
    return quote(text, safe="/%:@!$&'()*+,;=~-._?[]")


def _headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Raises ValidationFailed."""
    encoded: list[tuple[bytes, bytes]] = []
    for name, value in headers.items():
        try:
            pair = name.encode("ascii"), value.encode("latin-1")
        except UnicodeEncodeError as error:
            raise ValidationFailed(f"The header {name!r} can't be sent.") from error
        if not name or any(character in name + value for character in "\r\n\0") or " " in name:
            raise ValidationFailed(f"The header {name!r} can't be sent.")
        if pair[0].lower() not in _OURS:
            encoded.append(pair)
    if not any(name.lower() == b"user-agent" for name, _ in encoded):
        encoded.append((b"User-Agent", b"Commonplace"))
    return encoded


def _is_listed(host: str, patterns: Iterable[str]) -> bool:
    """``example.com`` is itself; ``.example.com`` also all below it."""
    host = host.lower().rstrip(".")
    return any(
        host == pattern.lower().lstrip(".") or (pattern.startswith(".") and host.endswith(pattern.lower()))
        for pattern in patterns
    )


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, whatever other address is wrapped in it."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)


class _GuardedBackend(NetworkBackend):
    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._sockets = SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> NetworkStream:
        failure: Exception | None = None
        for address in _addresses(host, port):
            try:
                stream = self._sockets.connect_tcp(
                    address, port, timeout=min(CONNECT_TIMEOUT_SECONDS, _left(self._deadline))
                )
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                failure = error
            else:
                return _TimedStream(stream, self._deadline)
        raise failure or httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(self, path: str, *_: Any, **__: Any) -> NetworkStream:
        raise AddressForbidden


class _TimedStream(NetworkStream):
    """A connection that ends at the deadline, however slowly the other side drips."""

    def __init__(self, stream: NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, timeout=_left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout=_left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, timeout=_left(self._deadline))
        return _TimedStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _addresses(host: str, port: int) -> list[str]:
    """Raises AddressForbidden when any of the host's addresses may not be called, and OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not _is_listed(host, settings.OUTBOUND_PRIVATE_HOSTS) and not all(map(is_public, addresses)):
        raise AddressForbidden(f"{host} is not on the public internet.")
    return addresses


def _left(deadline: float) -> float:
    """Raises httpcore.ReadTimeout."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("it took too long")
    return left
