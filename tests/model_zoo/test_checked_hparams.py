"""Hyperparameters of the models: defaults, limits, and errors that name the value and the remedy."""

from __future__ import annotations

import pytest

from model_zoo import checked_hparams


def test_values_are_taken_and_absent_ones_have_their_default():
    hparams = {"units": 3, "rate": 1, "kind": "b", "bias": False}
    assert checked_hparams.whole_number(hparams, "units", 5) == 3
    assert checked_hparams.whole_number({}, "units", 5) == 5
    assert checked_hparams.real_number(hparams, "rate", 0.5) == 1.0
    assert checked_hparams.real_number({}, "rate", 0.5) == 0.5
    assert checked_hparams.choice(hparams, "kind", "a", choices=("a", "b")) == "b"
    assert checked_hparams.choice({}, "kind", "a", choices=("a", "b")) == "a"
    assert checked_hparams.flag(hparams, "bias", True) is False
    assert checked_hparams.flag({}, "bias", True) is True
    assert checked_hparams.number_of_outputs(2, least=2) == 2


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "3", None])
def test_what_is_no_whole_number_of_at_least_1_is_refused(value):
    with pytest.raises(ValueError, match=r"^hparams\['units'\] must be an int of at least 1. Got .*Change it in the settings"):
        checked_hparams.whole_number({"units": value}, "units", 5)


def test_a_required_hyperparameter_that_is_absent_is_refused():
    with pytest.raises(ValueError, match="^hparams lacks 'units', which has no sensible default. Add it to hparams"):
        checked_hparams.whole_number({"unit": 3}, "units")


@pytest.mark.parametrize(("limits", "allowed", "refused", "text"), [
    ({"above": 0}, [1e-9, 5], [0, -1], "above 0"), ({"least": 0}, [0, 5.5], [-1e-9], "at least 0"),
    ({"least": 0, "below": 1}, [0, 0.999], [1, -0.1], "at least 0 and below 1"),
    ({"above": 0, "most": 1}, [1, 0.1], [0, 1.01], "above 0 and at most 1"),
    ({"least": 0}, [], ["0.5", None, True, float("nan")], "at least 0")])
def test_limits_of_real_numbers(limits, allowed, refused, text):
    for value in allowed:
        assert checked_hparams.real_number({"rate": value}, "rate", 0.5, **limits) == value
    for value in refused:
        with pytest.raises(ValueError, match=rf"^hparams\['rate'\] must be a number {text}. Got {value!r}. Change it"):
            checked_hparams.real_number({"rate": value}, "rate", 0.5, **limits)


@pytest.mark.parametrize("value", [None, 0, 1.0, True, "2"])
def test_a_number_of_outputs_that_cannot_be_is_refused(value):
    with pytest.raises(ValueError, match="^n_outputs, the number of outputs, must be an int of at least 1. Got .* Set n_"):
        checked_hparams.number_of_outputs(value)
