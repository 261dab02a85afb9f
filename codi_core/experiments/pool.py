"""A pool of processes that run waves."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor

import torch


def worker_pool(workers: int, threads: int = 1) -> ProcessPoolExecutor:
    """Processes for :meth:`Grid.run`, or for other work.

    They end with the process that started them, however that ends, and at once on Ctrl-C. A script
    that makes a pool needs ``if __name__ == "__main__":``, because each process imports it again.

    Args:
        workers: how many.
        threads: of each, for tensors.
    """
    # Not forked: torch does not survive it, and claims would be inherited.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, _start, (threads,))


def _start(threads: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
