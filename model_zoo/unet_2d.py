"""U-Net for the segmentation of images.

Source: Ronneberger, Fischer, Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015.
Differences: convolutions keep the size (padding 'same'), so that `logits` has the size of the image, of any size; batch
normalisation (Ioffe and Szegedy, 2015) before each ReLU; no bias where the features are normalised or concatenated next.
Parameters: 31,029,698 trainable for 1 channel, 64 filters, depth 4 and 2 classes. The paper gives no number; its figure 1
with a bias in each layer makes 31,030,658, that is 960 more, the biases of the transposed convolutions.
"""

from __future__ import annotations

from typing import Any

import keras

from model_zoo.checked_hparams import real_number, whole_number
from model_zoo.layers.u_net import u_net


def model(data: keras.KerasTensor, n_outputs: int, hparams: dict[str, Any]) -> dict[str, keras.KerasTensor]:
    """Builds the network.

    Arguments:
        data: float32 `[batch, height, width, channels]`; height and width may be None.
        n_outputs: number of classes.
        hparams: `filters` (of the first level, doubled at each further one, 64), `depth` (number of poolings, 4),
            `dropout` (fraction dropped at the lowest level, 0.2; the paper has it there and gives no value).

    Returns:
        `code`: the lowest level averaged over space, `[batch, filters · 2^depth]`; `logits`:
        `[batch, height, width, n_outputs]`, before the softmax.

    Raises:
        ValueError: the data has another rank, or a hyperparameter is out of its range.
    """
    first, depth = whole_number(hparams, "filters", 64), whole_number(hparams, "depth", 4)
    filters = [first * 2**level for level in range(depth + 1)]
    return u_net(data, n_outputs, num_dimensions=2, level_filters=[(number, number) for number in filters],
                 up_filters=filters[:-1], dropout=real_number(hparams, "dropout", 0.2, least=0.0, below=1.0))
