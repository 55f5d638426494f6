"""The interface of what executes a loaded version of a model."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

_PREFIX_OF_TENSORFLOW = "__saved_model"  # Signatures for the loading of the model, not for requests.

# Is told the outputs and None, or None and the error.
OnDone = Callable[[list[np.ndarray] | None, Exception | None], None]


class Predictor(abc.ABC):
    """One loaded version of a model, whatever executes it; safe to call from several threads.

    A runtime writes `signatures`, `run` and `close`; what else is here fits one that answers each request by itself.

    Attributes:
        signatures: the model's signatures as its export describes them, those for its loading among them.
        joins: requests wait for others to share a run with; then `run` holds its caller's thread as long, and `submit` none.
    """

    signatures: Mapping[str, SignatureDef]
    joins: bool = False

    @abc.abstractmethod
    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *,
            timeout_seconds: float | None = None) -> list[np.ndarray]:
        """Computes tensors.

        Arguments:
            feeds: tensor name (`operation:0`) -> value; strings as `bytes` in arrays of dtype object.
            fetches: names of tensors.
            timeout_seconds: how long it may take; None: as long as it takes.

        Raises:
            StatusError: a value does not fit, an operation failed (in TensorFlow's own words), or the time is over.
        """

    def submit(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *, timeout_seconds: float | None,
               on_done: OnDone) -> Callable[[], bool]:
        """Has tensors computed, as `run` does. Where requests are joined it does not wait for that, else it computes at once.

        Arguments:
            feeds, fetches: as in `run`.
            timeout_seconds: how long anybody waits for the answer; when that is over, a request that waits is not computed,
                which `on_done` may hear much later.
            on_done: is called once, with the outputs and None, or with None and the error: by the thread that computed them,
                which may be before this returns.

        Returns:
            Withdraws the request when nobody waits for it any more. True: `on_done` will never be called; False: it was
            called, or will be, as a part of the request runs already.

        Raises:
            StatusError: as in `run`, as far as it is known before the computation; `on_done` will never be called.
        """
        try:
            outputs = self.run(feeds, fetches, timeout_seconds=timeout_seconds)
        # Whatever it is, who waits for the answer must hear of it.
        except Exception as error:
            on_done(None, error)
        else:
            on_done(outputs, None)
        return lambda: False

    def is_quick(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> bool:
        """Returns True when a run will take no longer than handing it over to another thread would."""
        return False

    @abc.abstractmethod
    def close(self) -> None:
        """Gives the model's memory back; call it after the last `run` has returned."""


def served_signatures(signatures: Mapping[str, SignatureDef]) -> dict[str, SignatureDef]:
    """Returns the signatures that requests may ask for."""
    return {name: signature for name, signature in signatures.items() if not name.startswith(_PREFIX_OF_TENSORFLOW)}
