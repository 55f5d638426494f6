"""The processes that train one experiment together, and how they agree."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import tensorflow as tf

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LONGEST_TEXT_BYTES = 4096


class Workers:
    """This process among those of `MultiWorkerMirroredStrategy`; one alone, the chief, with any other strategy.

    All methods are met by all workers: each call waits for the others.

    Arguments:
        strategy: of the training.

    Attributes:
        index: of this process, from 0.
        number: of all processes.
        is_chief: whether this is the one that writes the experiment's folder.
    """

    def __init__(self, strategy: tf.distribute.Strategy) -> None:
        self._strategy = strategy
        self.index, self.number = 0, 1
        resolver = strategy.cluster_resolver
        if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and resolver.task_type:
            jobs = resolver.cluster_spec().as_dict()
            self.number = sum(len(addresses) for addresses in jobs.values())
            self.index = resolver.task_id + (len(jobs.get("chief", [])) if resolver.task_type == "worker" else 0)
        self.is_chief = self.index == 0
        self._sum_in_graph = tf.function(self._all_reduce, autograph=False)

    def chief_says(self, value: float) -> float:
        """The chief's value, on all workers."""
        return self._sums([value if self.is_chief else 0])[0]

    def chief_says_text(self, text: str) -> str:
        """The chief's text, on all workers; at most 4096 bytes of UTF-8."""
        if self.number == 1:
            return text
        content = text.encode().ljust(_LONGEST_TEXT_BYTES, b"\0") if self.is_chief else bytes(_LONGEST_TEXT_BYTES)
        return bytes(int(byte) for byte in self._sums(content)).rstrip(b"\0").decode()

    def any_signal(self, received: int | None) -> int | None:
        """The signal that any of the workers received; None when none did."""
        if self.number == 1:
            return received
        counts = self._sums([float(received == number) for number in _SIGNALS])
        return next((number for number, count in zip(_SIGNALS, counts) if count), None)

    def _sums(self, values: Sequence[float]) -> list[float]:
        """The values of all workers, added up one by one."""
        if self.number == 1:
            return list(values)
        return self._sum_in_graph(tf.constant(list(values), tf.float32)).numpy().tolist()

    def _all_reduce(self, values: tf.Tensor) -> tf.Tensor:
        sums = self._strategy.run(lambda: tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, tf.identity(values)))  # a copy on the replica's device, which is where it sums
        per_worker = self._strategy.num_replicas_in_sync // self.number
        return self._strategy.experimental_local_results(sums)[0] / per_worker
