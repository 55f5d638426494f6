"""What `use_profiling` leaves: a trace that viewers open, and a table of where the time went."""

from __future__ import annotations

import gzip
import json
import logging
import re
from pathlib import Path

import pytest
from tensorflow.tsl.profiler.protobuf import xplane_pb2

import experiments_manager
from expman.training.profiling import profile_trace
from expman.training.profiling.profile_report import TRACED_SPAN, as_text, summarise
from expman.training.profiling.profile_trace import ProfileEvent, read_events, write_trace
from tests.support.settings_files import write_experiment


def run_profiled(folder: Path, added: str) -> Path:
    file = write_experiment(folder, ("steps_per_execution = 1", f"use_profiling = True\n{added}"))
    return Path(experiments_manager.run(file)["sessionFolder"])


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    """The folder of a training of 60 steps an epoch, and what it logged."""
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = logging.getLogger("expman")
    logger.addHandler(handler)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        folder = run_profiled(tmp_path_factory.mktemp("profiled"), "nb_train_samples = 960\nsteps_per_execution = 4")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return folder, "\n".join(record.getMessage() for record in records)


def test_the_trace_is_what_chrome_and_perfetto_open(profiled):
    with gzip.open(profiled[0] / "logs" / "profile" / "trace.json.gz", "rt", encoding="utf-8") as stream:
        events = json.load(stream)["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert all(event["ts"] >= 0 and event["dur"] >= 0 and event["name"] for event in spans)
    assert any("MatMul" in event["name"] for event in spans)
    named = {(event["pid"], event.get("tid")) for event in events if event["ph"] == "M"}
    assert {(event["pid"], event["tid"]) for event in spans} <= named
    assert all(abs(number) < 2**31 for event in spans for number in (event["pid"], event["tid"]))


def test_the_log_has_the_table_and_the_place_of_the_trace(profiled):
    folder, log = profiled
    table = (folder / "logs" / "profile" / "profile.txt").read_text(encoding="utf-8")
    assert table in log and str(folder / "logs" / "profile" / "trace.json.gz") in log
    assert re.match(r"Profile of 20 training steps in 5 executions: \d", table)
    assert "MatMul" in table.partition("slowest ops")[2]


def test_the_shares_of_a_real_training_add_up(profiled):
    events = read_events(next((profiled[0] / "logs" / "profile").rglob("*.xplane.pb")))
    report = summarise(events)
    assert report.compute + report.input + report.host == pytest.approx(1)
    assert 0 < report.compute < 1 and 0 <= report.input < 1 and 0 < report.host < 1
    assert any("MatMul" in op.op for op in report.slowest_ops)
    assert [op.total_us for op in report.slowest_ops] == sorted((op.total_us for op in report.slowest_ops), reverse=True)


@pytest.mark.alone  # compares times
def test_a_slow_pipeline_shows_as_input(tmp_path):
    pipeline = ("return (dataset.shuffle(90) if shuffle_batches else dataset).batch(batch_size)",
                "import time\n    wait = lambda x: time.sleep(0.02) or x\n"
                "    return dataset.batch(batch_size).map(lambda x, y: "
                "(tf.ensure_shape(tf.py_function(wait, [x], tf.float32), [None, 3]), y))")
    file = write_experiment(tmp_path, ("nbEpoch = 2", "nbEpoch = 1\nuse_profiling = True\nnb_train_samples = 320"), pipeline)
    folder = Path(experiments_manager.run(file)["sessionFolder"])
    report = summarise(read_events(next((folder / "logs" / "profile").rglob("*.xplane.pb"))))
    assert report.input > max(report.compute, report.host)
    assert not any("EagerPyFunc" in op.op for op in report.slowest_ops)


def test_a_training_shorter_than_the_warm_up_says_that_nothing_was_traced(tmp_path, caplog):
    folder = run_profiled(tmp_path, "steps_per_execution = 3")
    assert "Nothing was profiled: training ended after 4 executions, and the first 5 are the warm-up" in caplog.text
    assert not (folder / "logs" / "profile").exists()


def event(name: str, begin_us: float, duration_us: float, *, op: str = "", plane: str = "/host:CPU",
          thread: str = "tf_Compute/1") -> ProfileEvent:
    return ProfileEvent(plane, thread, name, op, begin_us, duration_us)


HOST_EVENTS = [
    event(TRACED_SPAN, 100, 100, thread="python"),
    event("a:MatMul", 90, 20, op="a:MatMul"), event("a:MatMul", 105, 15, op="a:MatMul", thread="tf_Compute/2"),
    event("b:Add", 150, 10, op="b:Add"), event("c:Add", 250, 10, op="c:Add"),
    event("ExecutorState::Process", 145, 20),
    event("IteratorGetNextAsOptionalOp::DoCompute", 110, 30, thread="tf_data_iterator_get_next/1"),
    event("IteratorGetNextOp::DoCompute", 190, 30, thread="tf_data_iterator_get_next/1"),
    event("map:Decode", 165, 20, op="map:Decode", thread="tf_data_private_threadpool/1"),
    event("ExecutorState::Process", 160, 25, thread="tf_data_private_threadpool/1")]


def test_each_moment_counts_once_and_only_within_the_traced_steps():
    """Compute 100-120 and 145-165; input 120-140 and 190-200; the rest is host."""
    report = summarise(HOST_EVENTS)
    assert (report.compute, report.input, report.host) == pytest.approx((0.40, 0.30, 0.30))
    assert [(op.op, op.total_us, op.count) for op in report.slowest_ops] == [("a:MatMul", 35, 2), ("b:Add", 10, 1)]
    assert [op.share for op in report.slowest_ops] == pytest.approx([35 / 45, 10 / 45])


def test_with_a_gpu_only_what_runs_on_it_is_compute():
    kernels = [event("gemm", 130, 40, op="a:MatMul", plane="/device:GPU:0", thread="Stream #7(Compute)"),
               event("step", 100, 100, plane="/device:GPU:0", thread="Steps")]
    report = summarise([*HOST_EVENTS, *kernels])
    assert (report.compute, report.input, report.host) == pytest.approx((0.40, 0.30, 0.30))
    assert [(op.op, op.total_us) for op in report.slowest_ops] == [("a:MatMul", 40)]


def test_events_of_gpu_streams_are_read_with_the_op_that_launched_them(tmp_path):
    space = xplane_pb2.XSpace()
    plane = space.planes.add(name="/device:GPU:0")
    plane.event_metadata[1].name = "ampere_sgemm_32x32"
    plane.event_metadata[2].name = "MemcpyH2D"
    plane.stat_metadata[5].name = "tf_op"
    plane.stat_metadata[6].name = "while/body/StatefulPartitionedCall/dense/MatMul:MatMul"
    stream = plane.lines.add(name="Stream #7(Compute)", timestamp_ns=1000)
    kernel = stream.events.add(metadata_id=1, offset_ps=2_000_000, duration_ps=3_000_000)
    kernel.stats.add(metadata_id=5, ref_value=6)
    stream.events.add(metadata_id=2, offset_ps=0, duration_ps=1_000_000)
    plane.lines.add(name="TensorFlow Ops", timestamp_ns=1000).events.add(metadata_id=1, offset_ps=0, duration_ps=5_000_000)
    (tmp_path / "x.pb").write_bytes(space.SerializeToString())
    events = read_events(tmp_path / "x.pb")
    assert sorted((event.op, event.begin_us, event.duration_us) for event in events) == [
        ("", 1, 5), ("MemcpyH2D", 1, 1), ("dense/MatMul:MatMul", 3, 3)]
    assert all(event.on_gpu for event in events)


def test_a_very_long_trace_is_cut_at_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(profile_trace, "_MAX_WRITTEN_EVENTS", 2)
    assert write_trace(tmp_path / "trace.json.gz", HOST_EVENTS) == len(HOST_EVENTS) - 2
    spans = json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes()))["traceEvents"]
    assert [span["name"] for span in spans if span["ph"] == "X"] == [TRACED_SPAN, "a:MatMul"]


def test_the_table_is_short_and_gives_the_units():
    lines = as_text(summarise(HOST_EVENTS), num_steps=2, num_executions=1).splitlines()
    assert lines[0] == "Profile of 2 training steps in 1 executions: 0.10 ms, 0.050 ms a step."
    assert [line.split()[:2] for line in lines[1:4]] == [["compute", "40.0%"], ["input", "30.0%"], ["host", "30.0%"]]
    assert lines[5].split() == ["0.035", "2", "77.8%", "a:MatMul"]
