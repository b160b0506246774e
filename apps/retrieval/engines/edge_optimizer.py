"""Optimize a copy of the embedded index. Run as a program: ``python edge_optimizer.py SHARD_FOLDER``

Qdrant Edge optimizes under Python's global lock: in the serving process every thread would stand still
for as long as it takes, minutes for a large index. It imports nothing of the product, so that it starts fast.
"""

import ctypes
import os
import signal
import sys

from qdrant_edge import EdgeShard

PR_SET_PDEATHSIG = 1


def optimize(folder: str) -> None:
    """Merge segments, drop deleted points, build the graphs; return when all of it is on disk."""
    shard = EdgeShard.load(folder)
    shard.optimize()
    shard.flush()
    shard.close()


if __name__ == "__main__":
    if sys.platform == "linux":  # nobody waits for the copy once the server is gone
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(10)
    optimize(sys.argv[1])
