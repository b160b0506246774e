"""A stand-in for a Qdrant server: the few REST calls the product makes, over Qdrant Edge's real engine.

No Qdrant server is to be had as a package. What is real here: qdrant-client and its HTTP, the engine with its
filters, scores, indexes, quantization and write-ahead log, and that several processes share one index. What is not:
shards, replicas, authorization, background optimizing, and every call that the product does not make (404).
It refuses, or hangs, when it is told to.

It can be stopped and started again on the same folder and port, as an index that goes away and comes back:
in a thread (``QdrantServer``), or as a process: ``python -m tests.services.qdrant_server --port 6333 --dir DIR``.
"""

import argparse
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.services.qdrant_collections import Collections, NoSuchCollection

Answer = Any
Refusal = tuple[int, Mapping[str, str], bytes]
Call = Callable[[Collections, str, dict[str, Any]], Answer]
ROUTES: dict[tuple[str, str | None], Call] = {
    ("GET", None): lambda store, *_: {"collections": [{"name": name} for name in store.names()]},
    ("GET", ""): lambda store, name, _: store.describe(name),
    ("PUT", ""): lambda store, name, body: store.create(name, body),
    ("PATCH", ""): lambda store, name, body: store.change(name, body),
    ("DELETE", ""): lambda store, name, _: store.delete(name),
    ("GET", "exists"): lambda store, name, _: {"exists": store.exists(name)},
    ("PUT", "index"): lambda store, name, body: store.create_index(name, body),
    ("PUT", "points"): lambda store, name, body: store.upsert(name, body),
    ("POST", "points"): lambda store, name, body: store.retrieve(name, body),
    ("POST", "points/delete"): lambda store, name, body: store.delete_points(name, body),
    ("POST", "points/payload"): lambda store, name, body: store.set_payload(name, body),
    ("POST", "points/count"): lambda store, name, body: store.count(name, body),
    ("POST", "points/scroll"): lambda store, name, body: store.scroll(name, body),
    ("POST", "points/query"): lambda store, name, body: store.query(name, body),
    ("POST", "points/query/batch"): lambda store, name, body: [
        store.query(name, search) for search in body["searches"]
    ],
    ("POST", "facet"): lambda store, name, body: store.facet(name, body),
}
PATH = re.compile(r"^/collections(?:/(?P<name>[^/]+)/?(?P<call>.*))?$")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # qdrant-client keeps its connections
    disable_nagle_algorithm = True
    server: "_Server"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.server.refusal is not None:
            self._write(*self.server.refusal)
            return
        path = PATH.match(urlsplit(self.path).path)
        call = ROUTES.get((self.command, path["call"])) if path else None
        if path is None or call is None:
            self._send(
                HTTPStatus.NOT_FOUND, {"status": {"error": f"{self.command} {self.path} is not served"}}
            )
            return
        try:
            with self.server.one_at_a_time:
                result = call(self.server.collections, path["name"], json.loads(body) if body else {})
        except NoSuchCollection as error:
            self._send(HTTPStatus.NOT_FOUND, {"status": {"error": f"Not found: Collection {error}"}})
        except FileExistsError:
            self._send(HTTPStatus.CONFLICT, {"status": {"error": "Collection already exists"}})
        except Exception as error:
            self._send(HTTPStatus.BAD_REQUEST, {"status": {"error": repr(error)}})
        else:
            self._send(HTTPStatus.OK, {"result": result, "status": "ok", "time": 0.0})

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - the names http.server calls

    def _send(self, status: HTTPStatus, document: dict[str, Any]) -> None:
        self._write(status, {"Content-Type": "application/json"}, json.dumps(document).encode())

    def _write(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the tests' output is for tests."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int, folder: Path) -> None:
        self.collections = Collections(folder)
        self.one_at_a_time = threading.Lock()
        self.refusal: Refusal | None = None
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        """End what clients keep open, or a stopped server would go on answering them."""
        for connection in list(self._connections):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


class QdrantServer:
    """A server in a thread of this process. ``start`` after ``stop`` serves the same data on the same port."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        """``port`` = 0 picks a free one at the first start."""
        self._folder = folder
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        server = _Server(self._port, self._folder)
        self._port = server.server_address[1]
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        server.drop_connections()
        with server.one_at_a_time:
            server.collections.close()
        assert self._thread is not None
        self._thread.join()

    @contextmanager
    def refusing(self, status: int, headers: Mapping[str, str], content: bytes) -> Iterator[None]:
        """Give every request this answer for a while."""
        assert self._server is not None
        self._server.refusal = (status, headers, content)
        try:
            yield
        finally:
            self._server.refusal = None

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Take every request for a while, and answer none before the end."""
        assert self._server is not None
        with self._server.one_at_a_time:
            yield


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--dir", type=Path, required=True)
    options = parser.parse_args()
    server = _Server(options.port, options.dir)
    print(f"serving on http://127.0.0.1:{server.server_address[1]}", flush=True)  # noqa: T201
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.collections.close()


if __name__ == "__main__":
    main()
