"""The version that answers is chosen by a rule: TensorFlow Serving's own, or any other that is put in its place."""

from __future__ import annotations

import hashlib
import textwrap
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from expman.serving import traffic
from expman.serving.embedded_server import EmbeddedServer
from expman.serving.models.model_config import ModelConfig
from expman.serving.models.served_version import ServedVersion
from expman.serving.models.version_policy import AllVersions
from expman.serving.models.version_states import Routes
from expman.serving.server_options import ServerOptions
from expman.serving.traffic.named_or_newest import NAMED_OR_NEWEST
from expman.serving.traffic.traffic_rule import TrafficRequest, TrafficRule
from expman.wire.status import Code, StatusError
from tests.support.serving_model_stores import answer_of, publish, started_store
from tests.support.serving_models import OfficialClient, save_affine_model


class StickyShare(TrafficRule):
    """Gives the newest version a share of the keys, and the one before it the others."""

    def __init__(self, fraction: float) -> None:
        self._fraction = fraction

    def choose(self, request: TrafficRequest, routes: Routes) -> ServedVersion | None:
        if request.is_bound or len(routes.by_number) < 2:
            return NAMED_OR_NEWEST.choose(request, routes)
        place = int.from_bytes(hashlib.sha256(request.key.encode()).digest()[:8]) / 2**64
        return routes.newest if place < self._fraction else routes.by_number[sorted(routes.by_number)[-2]]


class Nobody(TrafficRule):
    """Lets no version answer."""

    def choose(self, request: TrafficRequest, routes: Routes) -> ServedVersion | None:
        return None


@pytest.fixture
def model(tmp_path: Path) -> ModelConfig:
    """Three versions that are served side by side, the second of them as `stable`."""
    for number in (1, 2, 3):
        publish(tmp_path / "m", number, f"answer {number}")
    return ModelConfig("m", tmp_path / "m", AllVersions(), {"stable": 2})


@pytest.mark.parametrize(("wanted", "number"), [({}, 3), ({"version": 1}, 1), ({"label": "stable"}, 2), ({"key": "a client"}, 3)])
def test_rule_of_tensorflow_serving_takes_what_is_named_or_the_newest(model: ModelConfig, wanted: dict, number: int) -> None:
    with started_store(model) as store:
        assert answer_of(store, **wanted) == (number, f"answer {number}")


def test_clients_keep_their_version_under_a_rule_that_shares_by_key(model: ModelConfig) -> None:
    keys = [f"client {number}" for number in range(400)]
    with started_store(model, traffic_rule=lambda config: StickyShare(0.25)) as store:
        first = [answer_of(store, key=key)[0] for key in keys]
        assert [answer_of(store, key=key)[0] for key in keys] == first
        counts = Counter(first)
        # Five standard deviations of a binomial around its mean of 100.
        assert counts.keys() == {2, 3} and abs(counts[3] - 100) < 5 * 400 ** 0.5 * 0.25 ** 0.5 * 0.75 ** 0.5
        assert answer_of(store, version=1, key=keys[0])[0] == 1
        assert answer_of(store, label="stable", key=keys[0])[0] == 2


def test_rule_sees_the_versions_that_serve_at_the_moment(model: ModelConfig) -> None:
    with started_store(model, traffic_rule=lambda config: StickyShare(0)) as store:
        assert answer_of(store)[0] == 2
        (model.base_path / "3").rename(model.base_path / "not a version")
        store.look()
        assert answer_of(store)[0] == 1


def test_rule_is_asked_again_when_its_version_is_just_gone(model: ModelConfig) -> None:
    class Late(TrafficRule):
        """Names, at first, a version that is gone by then."""

        def __init__(self) -> None:
            self.seen: list[list[int]] = []

        def choose(self, request: TrafficRequest, routes: Routes) -> ServedVersion | None:
            self.seen.append(sorted(routes.by_number))
            served = routes.newest
            if len(self.seen) == 1:
                (model.base_path / "3").rename(model.base_path / "not a version")
                store.look()
            return served

    late = Late()
    with started_store(model, traffic_rule=lambda config: late) as store:
        assert answer_of(store)[0] == 2
        assert late.seen == [[1, 2, 3], [1, 2]]


def test_request_that_a_rule_lets_nobody_answer_is_refused(model: ModelConfig) -> None:
    with started_store(model, traffic_rule=lambda config: Nobody()) as store:
        with pytest.raises(StatusError, match=r"Servable not found for request: Latest\(m\)") as caught:
            answer_of(store)
        assert caught.value.code == Code.NOT_FOUND


def test_each_model_has_a_rule_of_its_own_made_anew_with_its_configuration(model: ModelConfig, tmp_path: Path) -> None:
    publish(tmp_path / "other", 1, "other 1")
    publish(tmp_path / "other", 2, "other 2")
    other = ModelConfig("other", tmp_path / "other", AllVersions())
    rules = {"m": NAMED_OR_NEWEST, "other": StickyShare(0)}
    with started_store(model, other, traffic_rule=lambda config: rules[config.name]) as store:
        assert (answer_of(store, "m")[0], answer_of(store, "other")[0]) == (3, 1)
        rules["other"] = StickyShare(1)
        assert answer_of(store, "other")[0] == 1
        store.reload([model, other])
        assert (answer_of(store, "m")[0], answer_of(store, "other")[0]) == (3, 2)


def test_example_of_the_seam_serves_half_of_the_requests_by_another_version(tmp_path: Path) -> None:
    example = textwrap.dedent("\n".join(line for line in traffic.__doc__.splitlines() if line.startswith("    ")))
    names: dict = {"TrafficRule": TrafficRule, "TrafficRequest": TrafficRequest, "Routes": Routes,
                   "ServedVersion": ServedVersion, "NAMED_OR_NEWEST": NAMED_OR_NEWEST}
    exec("import random\n" + example, names)
    save_affine_model(tmp_path / "2", slope=2.0)
    save_affine_model(tmp_path / "3", slope=3.0)
    server = EmbeddedServer(ServerOptions(
        models=[ModelConfig("m", tmp_path, AllVersions())], address="127.0.0.1", grpc_port=0,
        traffic_rule=lambda config: names["HalfToSecond"]()))
    x = np.array([[1, 2]], np.float32)
    try:
        with OfficialClient(server.start().grpc_port) as client:
            answers = [client.predict({"x": x}) for _ in range(60)]
    finally:
        server.stop()
    assert {answer.model_spec.version.value for answer in answers} == {2, 3}
    for answer in answers:
        np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["y"]), answer.model_spec.version.value * x)
