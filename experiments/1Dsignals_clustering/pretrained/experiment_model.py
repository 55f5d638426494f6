"""Autoencoder of multichannel signals by densely connected 1D convolutions.

Source: Huang, Liu, van der Maaten, Weinberger, "Densely connected convolutional networks", CVPR 2017, for the blocks, here in
one dimension and without bottleneck layers; Hinton and Salakhutdinov, "Reducing the dimensionality of data with neural
networks", Science 313, 2006, for the autoencoder; Vincent, Larochelle, Bengio, Manzagol, "Extracting and composing robust
features with denoising autoencoders", ICML 2008, for the noise.
Parameters: 73,916 trainable for 128 steps of 3 channels with the defaults. In general, with d channels of data, f filters,
growth rate g, l layers a block and c the channels at hand: (3 d + 1) f at the start; in each dense block Σ (2 + 3 g)(c + i g)
over i = 0 … l − 1, then with c + l g channels 2 and the kept ones for each; 2 c at the end of the encoder, (m c + 1) s for the
code of size s from m steps, (s + 1) m c back; for each doubling (3 c + 1) c; (2 + d) c + d for the reconstruction.
"""

from __future__ import annotations

from typing import Any

import keras

from model_zoo.checked_hparams import real_number, whole_number

_MOMENTUM = 0.9  # Keras' 0.99 takes hundreds of steps to forget the first ones: whole epochs of a small dataset


def model(data: keras.KerasTensor, hparams: dict[str, Any]) -> dict[str, keras.KerasTensor]:
    """Builds the network.

    Arguments:
        data: float32 `[batch, time, channels]`; `time` must be known and may be odd.
        hparams: `code_size` (16), `blocks` (dense blocks of the encoder, each halves the time; as many in the decoder, 3),
            `layers_per_block` (3), `growth_rate` (channels that a layer adds, 12), `filters` (of the first convolution, 24),
            `compression` (fraction of the channels kept behind a block, 0.5), `dropout` (fraction dropped behind each
            convolution of a dense block, 0), `input_noise` (standard deviation of Gaussian noise that training adds to the
            data, 0).

    Returns:
        `code`: `[batch, code_size]`, linear; `reconstruction`: `[batch, time, channels]`, linear.

    Raises:
        ValueError: `data` is not of rank 3 with a known length, or a hyperparameter is out of its range.
    """
    if len(data.shape) != 3 or None in data.shape[1:]:
        raise ValueError(f"data must be [batch, time, channels] with a known time. Got the shape {data.shape}. "
                         "Let the input pipeline cut blocks of the same number of rows.")
    num_blocks = whole_number(hparams, "blocks", 3)
    input_noise = real_number(hparams, "input_noise", 0.0, least=0)
    lengths = []
    if input_noise > 0:
        data = keras.layers.GaussianNoise(input_noise, name="encoder_noise")(data)
    features = keras.layers.Conv1D(whole_number(hparams, "filters", 24), 3, padding="same", name="encoder_start")(data)
    for block in range(num_blocks):
        lengths.append(features.shape[1])
        features = _dense_block(features, hparams, name=f"encoder_{block + 1}")
        features = keras.layers.AveragePooling1D(2, padding="same", name=f"encoder_{block + 1}_pooling")(features)
    features = _normalised(features, name="encoder_end")
    shape = features.shape[1:]
    features = keras.layers.Flatten(name="encoder_flat")(features)
    code = keras.layers.Dense(whole_number(hparams, "code_size", 16), name="code")(features)

    features = keras.layers.Dense(shape[0] * shape[1], name="decoder_start")(code)
    features = keras.layers.Reshape(shape, name="decoder_steps")(features)
    for block, length in enumerate(reversed(lengths)):
        features = _doubled(features, length=length, name=f"decoder_{block + 1}_doubling")
        features = _dense_block(features, hparams, name=f"decoder_{block + 1}")
    features = _normalised(features, name="decoder_end")
    return {"code": code, "reconstruction": keras.layers.Conv1D(data.shape[2], 1, name="reconstruction")(features)}


def _dense_block(data: keras.KerasTensor, hparams: dict[str, Any], *, name: str) -> keras.KerasTensor:
    """Layers that each see the features of all before them, then a convolution of width 1 that keeps part of the channels."""
    dropout = real_number(hparams, "dropout", 0.0, least=0, below=1)
    growth_rate = whole_number(hparams, "growth_rate", 12)
    for layer in range(whole_number(hparams, "layers_per_block", 3)):
        added = _normalised(data, name=f"{name}_layer_{layer + 1}")
        added = keras.layers.Conv1D(growth_rate, 3, padding="same", use_bias=False, name=f"{name}_layer_{layer + 1}")(added)
        if dropout > 0:
            added = keras.layers.Dropout(dropout, name=f"{name}_layer_{layer + 1}_dropout")(added)
        data = keras.layers.Concatenate(name=f"{name}_layer_{layer + 1}_features")([data, added])
    kept = max(1, int(data.shape[-1] * real_number(hparams, "compression", 0.5, above=0, most=1)))
    data = _normalised(data, name=f"{name}_compression")
    return keras.layers.Conv1D(kept, 1, use_bias=False, name=f"{name}_compression")(data)


def _doubled(data: keras.KerasTensor, *, length: int, name: str) -> keras.KerasTensor:
    """Twice the steps, one less where the encoder's pooling rounded up."""
    data = keras.layers.Conv1DTranspose(data.shape[-1], 3, strides=2, padding="same", name=name)(data)
    excess = data.shape[1] - length
    return keras.layers.Cropping1D((0, excess), name=f"{name}_cut")(data) if excess else data


def _normalised(data: keras.KerasTensor, *, name: str) -> keras.KerasTensor:
    data = keras.layers.BatchNormalization(momentum=_MOMENTUM, name=f"{name}_normalisation")(data)
    return keras.layers.Activation("relu", name=f"{name}_activation")(data)
