"""The expressions of --filter."""

from __future__ import annotations

import pytest

from expman.errors import UsageError
from expman.reports.compare.filter_expression import FilterExpression
from expman.reports.experiment_records import read_record
from tests.support.experiment_files import write_experiment_files


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Three experiments; 'dropout' is known to the second only, 'label' is None in the third."""
    parent = tmp_path_factory.mktemp("experiments")
    return [read_record(write_experiment_files(parent, number=number, hparams=hparams, losses=losses, status=status))
            for number, hparams, losses, status in (
                (1, {"units": 4, "label": "a"}, [0.5, 0.4], "finished"),
                (2, {"units": 8, "label": "b", "dropout": 0.5}, [0.3], "failed"),
                (3, {"units": 16, "label": None, "my-name": True}, [0.2, 0.1, 0.3], "finished"))]


def selected(records, text) -> list[int]:
    chosen = FilterExpression(text).select(records)
    return [number for number, record in enumerate(records, start=1) if record in chosen]


@pytest.mark.parametrize(("text", "expected"), [
    ("hparams.units > 4", [2, 3]), ("4 < hparams.units <= 8", [2]), ("hparams.units == 4 or status == 'failed'", [1, 2]),
    ("not hparams.units == 4", [2, 3]), ("status in ('failed', 'pruned')", [2]), ("status not in ['failed']", [1, 3]),
    ("'line' in name", [1, 2, 3]), ("metrics.loss * 2 < 0.5", [3]), ("metrics.loss ** 2 < 0.05 + 0.05", [2, 3]),
    ("-hparams.units < -8 + 1", [2, 3]), ("epoch % 2 == 0", [1]), ("best_epoch < epoch", [3]), ("hparams.label is None", [3]),
    ("hparams['my-name']", [3]), ("settings.batch_size == 16", [1, 2, 3]), ("True", [1, 2, 3]), ("False", []),
    ("versions == 2 and duration < 1", [2]), ("not status == 'failed' and not epoch > 2", [1])])
def test_expression_selects(records, text, expected):
    assert selected(records, text) == expected


@pytest.mark.parametrize(("text", "expected"), [
    ("hparams.dropout < 1", [2]), ("not hparams.dropout < 1", []), ("not hparams.dropout > 1", [2]),
    ("hparams.dropout > 1 or status == 'finished'", [1, 3]), ("hparams.dropout < 1 and status == 'finished'", []),
    ("hparams.dropout + 1 > 0", [2]), ("hparams.dropout in [0.5]", [2]), ("hparams.label > 'a'", [2]),
    ("1 / (hparams.units - 4) > 0", [2, 3]), ("hparams.units ** 1000 > 1", []), ("trial == 1", [])])
def test_what_an_experiment_lacks_does_not_select_it_nor_does_its_negation(records, text, expected):
    assert selected(records, text) == expected


@pytest.mark.parametrize(("text", "told"), [
    ("hparams.unit > 4", "no experiment has 'hparams.unit'. Did you mean 'hparams.units'?"),
    ("loss < 1", "Did you mean 'metrics.loss'?"), ("stats == 'finished'", "Did you mean 'status'?"),
    ("metrics.los < 1", "Did you mean 'metrics.loss'?"), ("hparams > 1", "no experiment has 'hparams'"),
    ("name > 5", "'>' not supported between instances of 'str' and 'int'. Compare numbers with numbers"),
    ("name * 2 == 'x'", "calculates with")])
def test_wrong_name_or_type_is_an_error_with_the_likely_remedy(records, text, told):
    with pytest.raises(UsageError) as error:
        FilterExpression(text).select(records)
    assert told in str(error.value)


@pytest.mark.parametrize(("text", "told"), [
    ("hparams.x >", "invalid syntax"), ("(status == 'x'", "never closed"), ("", "invalid syntax"),
    ("status == 'x' and ]", "unmatched"), ("status = 'x'", "invalid syntax"), ("x" * 3000, "2000 characters"),
    ("(" * 900 + "1" + ")" * 900, "--filter"), ("-" * 1900 + "1", "--filter"), ("epoch\0", "--filter")])
def test_expression_that_does_not_parse_is_an_error(text, told):
    with pytest.raises(UsageError) as error:
        FilterExpression(text)
    assert told in str(error.value)


@pytest.mark.parametrize(("text", "place"), [
    ("__import__('os').system('x')", 0), ("status == open('x')", 10), ("epoch > 1 and name.upper() == 'x'", 14),
    ("(lambda: 1)()", 0), ("[x for x in name]", 0), ("hparams.x.__class__", 0), ("name[0] == 'l'", 0), ("f'{name}'", 0),
    ("epoch if status else 1", 0), ("b'x' == name", 0), ("1j > epoch", 0), ("epoch << 2", 0), ("~epoch", 0),
    ("(x := 1)", 1), ("{1: 2}", 0), ("hparams[0]", 0), ("... is None", 0)])
def test_nothing_but_the_allowed_parts_is_taken_and_the_place_is_shown(text, place):
    with pytest.raises(UsageError) as error:
        FilterExpression(text)
    message, shown, caret = str(error.value).splitlines()
    assert "allows no" in message
    assert shown.strip() == text and caret.index("^") == 4 + place


def test_deep_arithmetic_cannot_stall(records):
    assert selected(records, "9 ** 9 ** 9 > epoch") == []
