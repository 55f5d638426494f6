"""N-BEATS: forecasts of one variable by blocks that explain the past bit by bit.

Source: Oreshkin, Carpov, Chapados, Bengio, "N-BEATS: neural basis expansion analysis for interpretable time series
forecasting", ICLR 2020.
Parameters: with b past steps, n forecast ones, h units in each of l hidden layers, a block has (b + 1) h + (l − 1)(h + 1) h
in them, and behind them for each of its two sides, past (m = b) and forecast (m = n): generic with basis size s:
h s + (s + 1) m; trend of degree p: (p + 1) h; seasonality: (2 ⌊n/2 − 1⌋ + 1) h. Blocks that share weights count once. The last
block of all has no past side, since nothing would use it, unless it shares it with others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from model_zoo.checked_hparams import choice, flag, number_of_outputs, whole_number
from model_zoo.layers.basis_expansion import BasisExpansion, harmonics, polynomials

_Expansion = Callable[[keras.KerasTensor], keras.KerasTensor]


def model(data: keras.KerasTensor, n_outputs: int, hparams: dict[str, Any]) -> dict[str, keras.KerasTensor]:
    """Builds the network.

    Each block subtracts from the past what it explains of it and adds its part to the forecast. It has no notion of scale:
    divide the windows in `data_preprocess`, e.g. by their mean, when the level of the series varies.

    Arguments:
        data: float32 `[batch, backcast]`, the past of the series, oldest first.
        n_outputs: steps to forecast.
        hparams: `architecture` ('generic': all bases are learnt; 'interpretable': a stack of polynomials for the trend, then
            one of harmonics for the seasonality; 'generic'), `stacks` (of the generic one, 4; the paper: 30),
            `blocks_per_stack` (generic: 1, interpretable: 3), `share_weights` (among the blocks of a stack; generic: False,
            interpretable: True), `hiddenNeurons` (units of a hidden layer, 128; the paper: 512, 256 for the trend and 2048
            for the seasonality), `hiddenLayers` (of a block, 4), `basis_size` (learnt functions of a generic block, 16),
            `polynomial_degree` (of the trend, 2).

    Returns:
        `forecast`: `[batch, n_outputs]`; and for the interpretable architecture `trend` and `seasonality`, whose sum it is.

    Raises:
        ValueError: `data` is not of rank 2 with a known number of steps, or a hyperparameter is out of its range.
    """
    if len(data.shape) != 2 or data.shape[1] is None:
        raise ValueError(f"data must be [batch, backcast] with a known number of steps. Got the shape {data.shape}. "
                         "Take the forecast variable alone in data_preprocess, e.g. features[:, :, 0].")
    number_of_outputs(n_outputs, meaning="steps to forecast")
    names = _stack_names(hparams)
    is_generic = "trend" not in names
    num_blocks = whole_number(hparams, "blocks_per_stack", 1 if is_generic else 3)
    share_weights = flag(hparams, "share_weights", not is_generic)
    forecasts, residual = {}, data
    for name in names:
        make = {"trend": _trend, "seasonality": _seasonality}.get(name, _generic)
        past, future = make(hparams, backcast=data.shape[1], horizon=n_outputs)
        blocks = [_Block(hparams, past=past, future=future, name=f"{name}_block_{block + 1}")
                  for block in range(1 if share_weights else num_blocks)]
        blocks = blocks * num_blocks if share_weights else blocks
        parts = []
        for number, block in enumerate(blocks, start=1):
            features = block.features(residual)
            parts.append(block.forecast(features))
            if name != names[-1] or number < num_blocks:
                residual = keras.layers.Subtract(name=f"{name}_residual_{number}")([residual, block.backcast(features)])
        forecasts[name] = _sum(parts, name=f"{name}_forecast")
    outputs = {"forecast": _sum(list(forecasts.values()), name="forecast")}
    return outputs if is_generic else outputs | forecasts


class _Block:
    """The layers of one block; several places of the network may use it, and then share its weights."""

    def __init__(self, hparams: dict[str, Any], *, past: Callable[[str], _Expansion], future: Callable[[str], _Expansion],
                 name: str) -> None:
        self._hidden = [keras.layers.Dense(whole_number(hparams, "hiddenNeurons", 128), activation="relu",
                                           name=f"{name}_hidden_{layer + 1}")
                        for layer in range(whole_number(hparams, "hiddenLayers", 4))]
        self.backcast = past(f"{name}_backcast")
        self.forecast = future(f"{name}_forecast")

    def features(self, residual: keras.KerasTensor) -> keras.KerasTensor:
        for layer in self._hidden:
            residual = layer(residual)
        return residual


def _stack_names(hparams: dict[str, Any]) -> list[str]:
    if choice(hparams, "architecture", "generic", choices=("generic", "interpretable")) == "interpretable":
        return ["trend", "seasonality"]
    return [f"stack_{number + 1}" for number in range(whole_number(hparams, "stacks", 4))]


def _generic(hparams: dict[str, Any], *, backcast: int, horizon: int) -> tuple[Callable[[str], _Expansion], ...]:
    """For each side, what makes its layers once a name is given: here a learnt basis with an offset."""
    size = whole_number(hparams, "basis_size", 16)

    def side(num_steps: int) -> Callable[[str], _Expansion]:
        return lambda name: _chain(keras.layers.Dense(size, use_bias=False, name=f"{name}_coefficients"),
                                   keras.layers.Dense(num_steps, name=name))

    return side(backcast), side(horizon)


def _trend(hparams: dict[str, Any], *, backcast: int, horizon: int) -> tuple[Callable[[str], _Expansion], ...]:
    degree = whole_number(hparams, "polynomial_degree", 2, least=0)
    return _fixed(polynomials(backcast, degree=degree)), _fixed(polynomials(horizon, degree=degree))


def _seasonality(hparams: dict[str, Any], *, backcast: int, horizon: int) -> tuple[Callable[[str], _Expansion], ...]:
    """The past is on the forecast's axis of time, so that a harmonic has the same period on both sides."""
    return (_fixed(harmonics(np.arange(-backcast, 0), horizon=horizon)),
            _fixed(harmonics(np.arange(horizon), horizon=horizon)))


def _fixed(basis: np.ndarray) -> Callable[[str], _Expansion]:
    return lambda name: _chain(keras.layers.Dense(len(basis), use_bias=False, name=f"{name}_coefficients"),
                               BasisExpansion(basis, name=name))


def _chain(first: keras.layers.Layer, second: keras.layers.Layer) -> _Expansion:
    return lambda features: second(first(features))


def _sum(parts: list[keras.KerasTensor], *, name: str) -> keras.KerasTensor:
    return keras.layers.Add(name=name)(parts) if len(parts) > 1 else parts[0]
