"""A server that speaks OpenAI's chat completions over HTTP, and says what a test wrote down for it."""

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}


@dataclass
class Reply:
    """What the server does with one request: says ``text``, calls tools, answers another status, or waits."""

    text: str = ""
    calls: tuple[tuple[str, dict[str, Any] | str], ...] = ()
    status: int = 200
    wait_seconds: float = 0.0
    usage: dict[str, int] | None = field(default_factory=lambda: dict(USAGE))
    body: str | None = None
    drips: str = ""  # "headers" or "body": these come a few bytes at a time, for as long as somebody listens


class LanguageModel:
    """``replies`` are given in their order, and after them ``"Done."``; ``asked`` is what was asked."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.replies: deque[Reply] = deque()
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []

    def say(self, *replies: Reply | str) -> None:
        self.replies.extend(Reply(reply) if isinstance(reply, str) else reply for reply in replies)


@contextmanager
def running_language_model() -> Iterator[LanguageModel]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model.asked.append(body)
            model.keys.append(self.headers.get("Authorization", ""))
            reply = model.replies.popleft() if model.replies else Reply("Done.")
            time.sleep(reply.wait_seconds)
            told = reply.body if reply.body is not None else json.dumps(_completion(reply, body))
            data = told.encode()
            try:
                if reply.drips:
                    self._drip(reply.drips)
                self.send_response(reply.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                pass  # who asked did not wait

        def _drip(self, what: str) -> None:
            head = b"HTTP/1.1 200 OK\r\n"
            self.wfile.write(head if what == "headers" else head + b"Content-Length: 100000\r\n\r\n")
            drop = b"X-Drip: 1\r\n" if what == "headers" else b" "
            for _ in range(1000):
                self.wfile.write(drop)
                self.wfile.flush()
                time.sleep(0.02)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    model = LanguageModel(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield model
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _completion(reply: Reply, asked: dict[str, Any]) -> dict[str, Any]:
    if reply.status != 200:
        return {"error": {"message": reply.text or "No.", "type": "error", "code": str(reply.status)}}
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        message["tool_calls"] = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {
                    "name": name,
                    "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
                },
            }
            for number, (name, arguments) in enumerate(reply.calls)
        ]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1767604544,
        "model": asked.get("model", ""),
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if reply.calls else "stop"}
        ],
        **({"usage": reply.usage} if reply.usage else {}),
    }
