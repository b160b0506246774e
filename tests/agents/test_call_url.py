"""URLs that users name are called, and nothing that only this machine and its network may reach."""

import json
import socket
import threading
import time
from typing import Any

import pytest
from pytest_django import Settings

from apps.base import outbound
from apps.base.errors import ValidationFailed
from apps.base.outbound import AddressForbidden, AnswerTooLarge, HostUnreachable, fetch, is_public
from apps.knowledge.models import File
from tests.agents.conftest import MakeChain, Start, step
from tests.services.web_server import Call, Page, WebServer

INSIDE = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",  # noqa: S104
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",  # where clouds keep their secrets
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",  # IPv4 in other clothes
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
]


def call(url: str, method: str = "GET", **said: Any) -> outbound.Answer:
    return fetch(method, url, **{"timeout_seconds": 5.0, "max_bytes": 10_000} | said)


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_outside_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/",
        "gopher://example.com/",
        "http://",
        "http:///path",
        "//example.com/",
        "http://user:secret@example.com/",
        "http://[::1/",
        "http://example.com:99999/",
        "http://" + "a" * 3000,
    ],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(AddressForbidden):
        call(url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]"]
)
def test_this_machine_is_not_called_however_it_is_spelled(
    web: WebServer, settings: Settings, host: str
) -> None:
    settings.OUTBOUND_PRIVATE_HOSTS = ()
    web.pages["/"] = Page(body=b"secret")
    with pytest.raises((AddressForbidden, HostUnreachable)) as caught:
        call(web.url("/", host=host))
    assert isinstance(caught.value, AddressForbidden) or "Name or service" in caught.value.message
    assert web.calls == []


def test_name_that_says_something_else_the_second_time_gains_nothing(
    web: WebServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: checked is the very address that is connected to."""
    settings.OUTBOUND_PRIVATE_HOSTS = ()
    real, asked = socket.getaddrinfo, []

    def rebinding(host: Any, port: Any, *rest: Any, **named: Any) -> Any:
        if host != "rebind.example.com":
            return real(host, port, *rest, **named)
        asked.append(host)
        return real("192.0.2.1" if len(asked) == 1 else "127.0.0.1", port, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(outbound, "is_public", lambda address: address == "192.0.2.1")
    monkeypatch.setattr(outbound, "CONNECT_TIMEOUT_SECONDS", 0.2)
    with pytest.raises(HostUnreachable):
        call(web.url("/", host="rebind.example.com"))
    assert (asked, web.calls) == (["rebind.example.com"], [])


def test_host_of_which_one_address_is_inside_is_not_called(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 80)) for ip in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(AddressForbidden):
        call("http://mixed.example.com/")


def test_redirect_to_the_inside_is_not_followed(web: WebServer) -> None:
    web.pages["/"] = Page(302, {"Location": f"http://localhost:{web.port}/secret"})
    web.pages["/secret"] = Page(body=b"secret")
    with pytest.raises(AddressForbidden):
        call(web.url("/"))
    assert [one.path for one in web.calls] == ["/"]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://169.254.169.254/latest/meta-data/"])
def test_redirect_to_elsewhere_is_not_followed(web: WebServer, location: str) -> None:
    web.pages["/"] = Page(307, {"Location": location})
    with pytest.raises(AddressForbidden):
        call(web.url("/"))


def test_redirects_are_followed_and_come_to_an_end(web: WebServer) -> None:
    web.pages |= {"/a": Page(302, {"Location": "/b?x=1"}), "/b": Page(body=b"here")}
    web.pages["/round"] = Page(302, {"Location": "/round"})
    answer = call(web.url("/a"), "POST", body=b"x")
    assert (answer.body, answer.url) == (b"here", web.url("/b?x=1"))
    assert [(one.method, one.body) for one in web.calls] == [("POST", b"x"), ("GET", b"")]
    with pytest.raises(HostUnreachable, match="redirects"):
        call(web.url("/round"))


def test_secrets_do_not_follow_a_redirect_to_another_host(web: WebServer, settings: Settings) -> None:
    settings.OUTBOUND_PRIVATE_HOSTS = ("127.0.0.1", "localhost")
    web.pages |= {
        "/a": Page(307, {"Location": web.url("/b", host="localhost")}),
        "/b": Page(),
    }
    call(web.url("/a"), headers={"Authorization": "Bearer x", "Accept": "text/plain"})
    first, second = (one.headers for one in web.calls)
    assert (first["authorization"], second.get("authorization")) == ("Bearer x", None)
    assert second["accept"] == "text/plain"


def test_answer_is_not_read_beyond_its_limit(web: WebServer) -> None:
    web.pages["/"] = Page(body=b"x" * 20_000)
    with pytest.raises(AnswerTooLarge):
        call(web.url("/"))


def test_host_that_drips_is_given_up_in_time(settings: Settings) -> None:
    settings.OUTBOUND_PRIVATE_HOSTS = ("127.0.0.1",)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                try:
                    for _ in range(100):
                        connection.sendall(b"X-Drip: 1\r\n")
                        time.sleep(0.05)
                except OSError:
                    pass  # given up

        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        with pytest.raises(HostUnreachable):
            call(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout_seconds=0.5)
        assert time.monotonic() - began < 3


def test_operator_can_name_the_only_hosts(web: WebServer, settings: Settings) -> None:
    web.pages["/"] = Page()
    settings.OUTBOUND_HOSTS = ("hooks.example.com", ".example.org")
    with pytest.raises(AddressForbidden, match="operator"):
        call(web.url("/"))
    for host in ("hooks.example.com", "example.org", "a.b.example.org"):
        outbound.check_url(f"https://{host}/x")
    for host in ("evilexample.org", "x.hooks.example.com", "example.com"):
        with pytest.raises(AddressForbidden):
            outbound.check_url(f"https://{host}/x")


@pytest.mark.parametrize("headers", [{"X": "a\r\nEvil: 1"}, {"A B": "x"}, {"": "x"}, {"Ü": "x"}])
def test_headers_can_not_smuggle(web: WebServer, headers: dict[str, str]) -> None:
    with pytest.raises(ValidationFailed):
        call(web.url("/"), headers=headers)
    assert web.calls == []


def test_step_sends_json_and_reads_json(
    carry_out: Start, make_chain: MakeChain, web: WebServer, manual: File
) -> None:
    def echo(received: Call) -> Page:
        return Page(201, {"Content-Type": "application/json; charset=utf-8"}, received.body)

    web.pages["/Grüße"] = web.pages["/Gr%C3%BC%C3%9Fe"] = echo
    chain = make_chain(
        step(
            "call",
            "call-url",
            url=web.url("/Grüße?q={{file.fileName}}"),
            headers={"X-Secret": "{{input.secret}}"},
            body={"file": "{{file.fileName}}", "list": [1, "{{input.secret}}"]},
        )
    )
    run = carry_out(chain=chain, file=manual, input={"secret": "ß"})
    assert run.status == "SUCCEEDED", run.error
    output = run.steps[0]["output"]
    assert output == {"status": 201, "body": {"file": "manual.txt", "list": [1, "ß"]}}
    (received,) = web.calls
    assert json.loads(received.body)["file"] == "manual.txt"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["idempotency-key"] == f"{run.pk}:0"
    assert received.path.endswith("?q=manual.txt")


def test_step_that_names_an_inner_address_fails_and_is_not_tried_again(
    carry_out: Start, make_chain: MakeChain
) -> None:
    chain = make_chain(step("call", "call-url", url="http://169.254.169.254/latest", method="GET"))
    run = carry_out(chain=chain)
    assert (run.status, run.error_code) == ("FAILED", "address_forbidden")


def test_answer_that_is_no_text_is_kept_as_what_can_be_kept(
    carry_out: Start, make_chain: MakeChain, web: WebServer
) -> None:
    web.pages["/"] = Page(headers={"Content-Type": "application/json"}, body=b"\x00\xff{not json")
    run = carry_out(chain=make_chain(step("call", "call-url", url=web.url("/"), method="GET")))
    assert run.status == "SUCCEEDED", run.error
    assert run.steps[0]["output"]["body"] == "\ufffd{not json"
