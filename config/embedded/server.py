"""The web server of the embedded topology."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from django.conf import settings

from apps.knowledge.knowledge_bases import other_models_in_use
from apps.retrieval import services as retrieval
from workers.stopping import is_stopping

logger = logging.getLogger(__name__)


class PortInUse(Exception):
    """Something else listens on the address we were given."""


def bind() -> socket.socket:
    """Take the port before anything else is started, so that a taken one is the first thing to be told.

    Raises PortInUse.
    """
    family = socket.AF_INET6 if ":" in settings.HOST else socket.AF_INET
    # Named as TCP: asyncio sets TCP_NODELAY on such sockets only, without which each answer waits some 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.HOST, settings.PORT))
    except OSError as error:
        listener.close()
        raise PortInUse(
            f"{settings.HOST}:{settings.PORT} is taken ({error.strerror}). Choose another PORT."
        ) from error
    return listener


def serve(listener: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; requests under way get some seconds to end."""
    config = uvicorn.Config(
        "config.asgi:application",
        http="h11",  # the one that bounds a request's head (64 KiB); httptools takes any
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # config/asgi.py reads them, from TRUSTED_PROXIES alone
        timeout_graceful_shutdown=5,
        timeout_keep_alive=30,
    )
    if not is_stopping():  # told to stop while starting; from here on uvicorn hears it
        uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def warming_up() -> Iterator[None]:
    """Load the models that knowledge bases have beside the first requests, the default one first, so that the first
    searches need not wait for all of it.

    Leaving the context waits for the end of that: a thread inside OpenVINO when the interpreter goes away
    aborts the process.
    """
    others = other_models_in_use()

    def load() -> None:
        for model in (settings.EMBEDDING_MODEL, *others):
            if is_stopping():
                return
            try:
                retrieval.prepare(model)
            except Exception:
                logger.exception(
                    "The embedding model %s could not be loaded; searches and files that need it will fail until "
                    "it can.",
                    model,
                )

    thread = threading.Thread(target=load, name="warm-up", daemon=True)
    thread.start()
    try:
        yield
    finally:
        thread.join()
