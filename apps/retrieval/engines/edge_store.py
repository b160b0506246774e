"""One open Qdrant Edge shard, kept small and fast by optimizing copies of it in another process."""

import logging
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from qdrant_edge import EdgeConfig, EdgeShard, UpdateOperation

from apps.retrieval.engines import edge_optimizer
from apps.retrieval.engines.edge_folder import GenerationFolder, copy_folder, sync_folder
from apps.retrieval.errors import IndexUnavailable

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

FLUSH_INTERVAL_SECONDS = 5.0
FAILED_FLUSH_PAUSE_SECONDS = 60.0
FAILED_OPTIMIZE_PAUSE_SECONDS = 600.0
# Below this many changed points an exact scan is quicker than a graph is worth building.
OPTIMIZE_AFTER_POINTS = 20_000
OPTIMIZE_AFTER_SHARE = 0.25  # and each run rebuilds: this bounds the total work to a few times the data
OPTIMIZE_TIMEOUT_SECONDS = 2 * 3600.0  # a million passages take five minutes of two idle cores
CATCH_UP_LEFTOVER = 8  # writes left to repeat while writers wait
# Writes kept in memory until the copy has them too: of a hundred points each, that is some 500 MB.
JOURNAL_LIMIT = 2_000


class _Generation:
    """An open shard and how many readers are inside it."""

    def __init__(self, shard: EdgeShard) -> None:
        self.shard = shard
        self.readers = 0


class ShardStore:
    """Reads and writes go to the current generation; ``optimize`` replaces it by a better one of the same data.

    A write that returned is in the write-ahead log and survives ``kill -9``; a thread of its own flushes it to the
    disk every few seconds, also while another optimizes: that is what a power cut can cost.
    """

    def __init__(
        self,
        path: Path,
        config: EdgeConfig,
        field_indexes: list[UpdateOperation],
        *,
        lock_wait_seconds: float,
        optimize_after_points: int = OPTIMIZE_AFTER_POINTS,
    ) -> None:
        self._config = config
        self._optimize_after_points = optimize_after_points
        self._folder = GenerationFolder(path)
        self._folder.acquire(lock_wait_seconds)
        try:
            with engine_faults():
                self._folder.discard_others()
                self._current: _Generation | None = _Generation(self._open(field_indexes))
        except BaseException:
            self._folder.release()
            raise
        self._readers = threading.Condition()
        self._writing = threading.Lock()  # one writer at a time, in the order the journal repeats
        self._optimizing = threading.Lock()
        self._journal: deque[UpdateOperation] | None = None  # writes that a copy being optimized still lacks
        self._child: subprocess.Popen[bytes] | None = None
        self._is_dirty = False
        self._changed_points = self._remembered_changes()
        self._closing = threading.Event()
        self._maintenance = [
            threading.Thread(target=self._repeat, args=arguments, name=f"vector-{name}", daemon=True)
            for name, *arguments in (
                ("flush", self._flush_if_dirty, FAILED_FLUSH_PAUSE_SECONDS),
                ("optimize", self._optimize_if_worthwhile, FAILED_OPTIMIZE_PAUSE_SECONDS),
            )
        ]
        for thread in self._maintenance:
            thread.start()

    def read(self, call: Callable[[EdgeShard], Answer]) -> Answer:
        """Return ``call(shard)``; the shard stays open for that long."""
        with self._readers:
            generation = self._current
            if generation is None:
                raise IndexUnavailable("The search index is closed.")
            generation.readers += 1
        try:
            with engine_faults():
                return call(generation.shard)
        finally:
            with self._readers:
                generation.readers -= 1
                self._readers.notify_all()

    def write(self, operation: UpdateOperation, *, changed_points: int) -> None:
        """Apply the operation durably. ``changed_points`` counts towards the next optimization."""
        with self._writing:
            self.read(lambda shard: shard.update(operation))
            if self._journal is not None:
                self._journal.append(operation)
                if len(self._journal) > JOURNAL_LIMIT:
                    self._journal = None  # the run is given up, and looks here before it swaps anything in
                    self._end_child()
            self._is_dirty = True
            self._changed_points += changed_points

    def flush(self) -> None:
        with self._writing:
            self.read(lambda shard: shard.flush())
            self._folder.remember_changed_points(self._changed_points)
            self._is_dirty = False

    def optimize(self) -> None:
        """Replace the current generation by an optimized one. Searches and writes go on meanwhile.

        The copy is made between two writes, optimized in another process, brought up to date by
        repeating what was written since, and swapped in. Raises IndexUnavailable when that fails, takes hours, or
        more is written meanwhile than is kept in memory; the current generation is then as it was.
        """
        with self._optimizing:
            try:
                self._replace_current()
            except OSError as error:
                raise IndexUnavailable("The vector folder could not be optimized.") from error

    def close(self) -> None:
        """Stop maintenance, flush, and give the folder up. Safe to repeat."""
        self._closing.set()
        self._end_child()
        for thread in self._maintenance:
            thread.join()
        with self._optimizing, self._writing:
            generation = self._retire(None)
            if generation is None:
                return
            try:
                with engine_faults():
                    generation.shard.flush()
                    generation.shard.close()
                self._folder.remember_changed_points(self._changed_points)
            finally:
                self._folder.release()

    # --- inside -------------------------------------------------------------------------------------

    def _open(self, field_indexes: list[UpdateOperation]) -> EdgeShard:
        current = self._folder.current
        if current is not None:
            return EdgeShard.load(str(current), self._config)
        generation = self._folder.next_generation()
        generation.mkdir()
        shard = EdgeShard.create(str(generation), self._config)
        for operation in field_indexes:
            shard.update(operation)
        shard.flush()
        shard.close()
        sync_folder(generation)
        self._folder.make_current(generation)
        return EdgeShard.load(str(generation), self._config)

    def _remembered_changes(self) -> int:
        """What changed before this process; all of it where nothing is remembered, which costs one run too many."""
        remembered = self._folder.changed_points
        return self.read(lambda shard: shard.info()).points_count if remembered is None else remembered

    def _replace_current(self) -> None:
        source = self._folder.current
        target = self._folder.next_generation()
        try:
            with self._writing:
                self.read(lambda shard: shard.flush())
                assert source is not None  # noqa: S101 - opening the store made one
                copy_folder(source, target)
                journal: deque[UpdateOperation] = deque()
                self._journal = journal
                changes_before = self._changed_points
            self._optimize_copy(target)
            sync_folder(target)
            self._swap_in(target, journal, changes_before)
        finally:
            self._journal = None
            self._folder.discard_others()

    def _optimize_copy(self, target: Path) -> None:
        command = [sys.executable, edge_optimizer.__file__, str(target)]
        # A session of its own: Ctrl-C is for the server, which ends the child itself.
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True) as child:
            self._child = child
            try:
                if self._closing.is_set() or self._journal is None:
                    child.kill()  # whoever was to end it looked before there was one
                exit_status = child.wait(OPTIMIZE_TIMEOUT_SECONDS)
                self._check_not_given_up()
                if exit_status != 0:
                    raise IndexUnavailable("Optimizing the search index failed.")
            except subprocess.TimeoutExpired as error:
                raise IndexUnavailable("Optimizing the search index took too long.") from error
            finally:
                self._child = None
                child.kill()  # in vain, but for one that took too long

    def _end_child(self) -> None:
        child = self._child
        if child is not None:
            child.kill()

    def _check_not_given_up(self) -> None:
        if self._journal is None:
            raise IndexUnavailable("Too much was written while the search index was optimized.")

    def _swap_in(self, target: Path, journal: deque[UpdateOperation], changes_before: int) -> None:
        with engine_faults():
            shard = EdgeShard.load(str(target), self._config)
            try:
                while len(journal) > CATCH_UP_LEFTOVER:  # writers go on writing
                    shard.update(journal.popleft())
                shard.flush()
                with self._writing:
                    self._check_not_given_up()
                    for operation in journal:
                        shard.update(operation)
                    shard.flush()
                    self._folder.make_current(target)
                    self._changed_points -= changes_before
                    self._is_dirty = True  # which has the number remembered
                    old = self._retire(_Generation(shard))
            except BaseException:
                shard.close()  # nothing can fail once it is the current one
                raise
            if old is not None:
                old.shard.close()

    def _retire(self, successor: _Generation | None) -> _Generation | None:
        """Make the successor current, and return the former generation once no reader is inside."""
        with self._readers:
            old, self._current = self._current, successor
            self._readers.wait_for(lambda: old is None or old.readers == 0)
        return old

    def _repeat(self, maintain: Callable[[], None], pause_after_failure: float) -> None:
        pause = FLUSH_INTERVAL_SECONDS
        while not self._closing.wait(pause):
            pause = FLUSH_INTERVAL_SECONDS
            try:
                maintain()
            except IndexUnavailable:
                if not self._closing.is_set():
                    logger.exception("Maintenance of the vector index failed; it is tried again later.")
                    pause = pause_after_failure

    def _flush_if_dirty(self) -> None:
        if self._is_dirty:
            self.flush()

    def _optimize_if_worthwhile(self) -> None:
        if self._is_worth_optimizing():
            self.optimize()

    def _is_worth_optimizing(self) -> bool:
        if self._changed_points < self._optimize_after_points:
            return False
        points = self.read(lambda shard: shard.info()).points_count
        return self._changed_points >= OPTIMIZE_AFTER_SHARE * points


@contextmanager
def engine_faults() -> Iterator[None]:
    """Turn the engine's own errors, which are bare Exceptions, into IndexUnavailable; faults of ours pass."""
    try:
        yield
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise IndexUnavailable from error
