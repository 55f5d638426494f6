"""3D U-Net for the segmentation of volumes.

Source: Çiçek, Abdulkadir, Lienkamp, Brox, Ronneberger, "3D U-Net: Learning Dense Volumetric Segmentation from Sparse
Annotation", MICCAI 2016.
Differences: convolutions keep the size (padding 'same'), so that `logits` has the size of the volume, of any size; the
normalisation's shift takes the place of the convolution's bias.
Parameters: 19,069,955 trainable for 3 channels, 32 filters, depth 3 and 3 classes, exactly the paper's number.
"""

from __future__ import annotations

from typing import Any

import keras

from model_zoo.checked_hparams import real_number, whole_number
from model_zoo.layers.u_net import u_net


def model(data: keras.KerasTensor, n_outputs: int, hparams: dict[str, Any]) -> dict[str, keras.KerasTensor]:
    """Builds the network.

    Arguments:
        data: float32 `[batch, depth, height, width, channels]`; the three sizes may be None.
        n_outputs: number of classes.
        hparams: `filters` (of the first convolution, doubled within each level, 32), `depth` (number of poolings, 3),
            `dropout` (fraction dropped at the lowest level, 0).

    Returns:
        `code`: the lowest level averaged over space, `[batch, 2 · filters · 2^depth]`; `logits`:
        `[batch, depth, height, width, n_outputs]`, before the softmax.

    Raises:
        ValueError: the data has another rank, or a hyperparameter is out of its range.
    """
    first, depth = whole_number(hparams, "filters", 32), whole_number(hparams, "depth", 3)
    filters = [first * 2**level for level in range(depth + 1)]
    return u_net(data, n_outputs, num_dimensions=3, level_filters=[(number, 2 * number) for number in filters],
                 up_filters=[2 * number for number in filters[1:]],
                 dropout=real_number(hparams, "dropout", 0.0, least=0.0, below=1.0))
