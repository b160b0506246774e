"""Every route of every dialect, walked by somebody who does not belong there.

The routes are found, not listed: one that is added and not known here fails the walk.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from django.urls import URLPattern, URLResolver, get_resolver

from apps.api.dialects import DIALECTS
from apps.knowledge.models import File, KnowledgeBase
from tests.conftest import CommittingClient, Tenant

# Routes that name no organization: what a stranger sees there is their own. Each is proven elsewhere.
WITHOUT_TENANT = {"orgs", "invitations/accept"}
PUBLIC = {"invitations/accept"}  # whoever has the token, tests/api/platform/test_invitations.py
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class Route:
    pattern: str
    parameters: frozenset[str]
    methods: tuple[str, ...]

    def url(self, arguments: dict[str, str]) -> str:
        url = self.pattern
        for name in self.parameters:
            url = url.replace(f"<id:{name}>", arguments[name])
        return f"/{url}"


def routes() -> Iterator[Route]:
    for dialect in DIALECTS:
        yield from _routes_of(get_resolver(dialect.urlconf).url_patterns, "")


def _routes_of(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[Route]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes_of(pattern.url_patterns, path)
            continue
        handled = pattern.callback.cls.http_method_names  # type: ignore[attr-defined]  # DRF puts it there
        methods = tuple(method for method in METHODS if method.lower() in handled)
        yield Route(path, frozenset(pattern.pattern.converters), methods)


def test_walk_knows_every_route(arguments: dict[str, str]) -> None:
    found = list(routes())
    assert len(found) > 10
    for route in found:
        unknown = route.parameters - set(arguments)
        assert not unknown, f"/{route.pattern}: give the walk an argument for {unknown}"
        if "organization_id" not in route.parameters:
            assert route.pattern in WITHOUT_TENANT, f"/{route.pattern} names no organization: is that right?"


def test_owner_gets_past_the_door_where_the_stranger_does_not(
    api: CommittingClient, arguments: dict[str, str]
) -> None:
    """The walk's 404s mean something only if the same addresses are there for the owner."""
    for route in routes():
        answer = api.options(route.url(arguments))
        assert answer.status_code == 200, route


def test_stranger_finds_nothing_anywhere(
    outsider: CommittingClient, arguments: dict[str, str], waiting_file: File
) -> None:
    for route in routes():
        if route.pattern in WITHOUT_TENANT:
            continue
        for method in route.methods:
            answer = outsider.generic(method, route.url(arguments), "{}", content_type="application/json")
            assert answer.status_code == 404, (method, route)
            if method != "HEAD":
                assert answer.json()["error"]["code"] == "not_found", (method, route)
            for secret_of_theirs in ("notes.txt", "Library", "Acme"):
                assert secret_of_theirs.encode() not in answer.content, (method, route)
    waiting_file.refresh_from_db()  # and it is still there


def test_stranger_with_a_foot_in_the_door_finds_nothing_either(
    outsider: CommittingClient, stranger: Tenant, arguments: dict[str, str], personal: KnowledgeBase
) -> None:
    """Their own organization in the path, with the ids of somebody else's things below it."""
    arguments = arguments | {"organization_id": stranger.organization.pk}
    for knowledge_base_id in (arguments["knowledge_base_id"], personal.pk):
        below = arguments | {"knowledge_base_id": knowledge_base_id}
        for route in routes():
            if "knowledge_base_id" not in route.parameters:
                continue
            for method in {"GET", "POST", "PUT", "DELETE"}:
                body = '{"query": "x", "fileName": "a.txt", "contentType": "text/plain"}'
                answer = outsider.generic(method, route.url(below), body, content_type="application/json")
                assert answer.status_code in {404, 405}, (method, route)
    for route in routes():
        if route.parameters & {"user_id", "key_id", "invitation_id"}:
            for method in ("GET", "PUT", "POST", "DELETE"):
                body = '{"role": "VIEWER"}'
                answer = outsider.generic(method, route.url(arguments), body, content_type="application/json")
                assert answer.status_code in {404, 405}, (method, route)
    own_library = arguments | {"knowledge_base_id": stranger.library.pk}
    for route in routes():
        if "file_id" in route.parameters:
            for method in ("GET", "POST", "DELETE"):
                answer = outsider.generic(method, route.url(own_library), "", content_type="application/json")
                assert answer.status_code in {404, 405}, (method, route)


def test_anonymous_caller_is_asked_who_they_are_everywhere(
    anonymous: CommittingClient, arguments: dict[str, str]
) -> None:
    for route in routes():
        if route.pattern in PUBLIC:
            continue
        for method in route.methods:
            answer = anonymous.generic(method, route.url(arguments), "{}", content_type="application/json")
            assert answer.status_code == 401, (method, route)


def test_ids_that_do_not_exist_look_the_same_as_foreign_ones(
    outsider: CommittingClient, arguments: dict[str, str]
) -> None:
    unknown = {name: f"{value[:-4]}0000" for name, value in arguments.items()}
    for route in routes():
        if route.pattern in WITHOUT_TENANT:
            continue
        foreign = outsider.get(route.url(arguments))
        nowhere = outsider.get(route.url(unknown))
        assert (foreign.status_code, foreign.content) == (nowhere.status_code, nowhere.content), route


def test_every_other_address_is_known_to_be_public_or_guarded_elsewhere() -> None:
    """What the service answers besides its dialects: nothing joins that list unnoticed."""
    in_dialects = {route.pattern for route in routes()}
    others = {path for path in _paths_of(get_resolver().url_patterns, "") if path not in in_dialects}
    pages = {
        f"schema/{dialect.name}{page}" for dialect in DIALECTS for page in (".json", ".yaml", "/", "/redoc/")
    }
    # Staff only, tests/admin; an organization's OWNERs and ADMINs only, tests/console.
    admin = {path for path in others if path.startswith(("admin/", "manage/"))}
    # Whoever has a signed URL, tests/api/objects, or a link, tests/api/downloads; whoever can sign,
    # tests/api/storage_events.
    signed = {"objects/<path:key>", "d/<str:token>", "storage-events"}
    # One's own, or whoever has the link of an e-mail, tests/api/test_passwords.py.
    reset = "password/reset/"
    own_account = {"account/", "password/", reset, f"{reset}sent/", f"{reset}<str:uidb64>/<str:token>/"}
    assert (
        others - admin
        == {"healthz", "readyz", "", "login/", "logout/", "join/<str:token>"} | own_account | signed | pages
    )


def _paths_of(patterns: list[URLPattern | URLResolver], prefix: str) -> Iterator[str]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _paths_of(pattern.url_patterns, path)
        else:
            yield path
