"""Loss of a regression whose noise depends on the input: the network predicts a mean and the logarithm of a variance.

Source: Nix and Weigend, "Estimating the mean and variance of the target probability distribution", ICNN 1994; Kendall and
Gal, "What uncertainties do we need in Bayesian deep learning for computer vision?", NeurIPS 2017.
"""

from __future__ import annotations

import math
from typing import Any

from keras import ops


def gaussian_negative_log_likelihood(labels: Any, mean: Any, log_variance: Any) -> Any:
    """−log N(labels; mean, exp(log_variance)) of each sample in nats, the normalising constant included.

    The average over a batch is the first term of the variational objective whose other term, already divided by the number
    of training samples, the layers of concrete dropout add to `weights_loss`.

    Arguments:
        labels: float `[…, n_outputs]`.
        mean: of the shape of `labels`.
        log_variance: of the shape of `labels`, or one value for all outputs, `[…, 1]`; the variance has the squared unit of
            `labels`.

    Returns:
        Float `[…]`: the sum over the outputs, which are independent given the input.

    Raises:
        ValueError: the shapes of `labels` and `mean` differ where both are known, or `log_variance` does not fit.
    """
    mean = ops.convert_to_tensor(mean)
    labels, log_variance = ops.cast(labels, mean.dtype), ops.cast(log_variance, mean.dtype)
    _require_same_shape("labels", labels.shape, "mean", mean.shape)
    if log_variance.shape[-1] != 1:
        _require_same_shape("log_variance", log_variance.shape, "mean", mean.shape)
    squared = ops.square(labels - mean) * ops.exp(-log_variance)
    return ops.sum(0.5 * (math.log(2 * math.pi) + log_variance + squared), axis=-1)


def _require_same_shape(one: str, one_shape: Any, other: str, other_shape: Any) -> None:
    """Broadcasting `[batch]` against `[batch, 1]` would make a loss over all pairs of samples, which still falls."""
    if len(one_shape) != len(other_shape) or any(
            None not in sizes and sizes[0] != sizes[1] for sizes in zip(one_shape, other_shape)):
        raise ValueError(f"{one} and {other} must have the same shape. Got {tuple(one_shape)} and {tuple(other_shape)}. "
                         f"Reshape {one}, e.g. by labels[:, None].")
