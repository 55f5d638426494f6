"""How long the script takes to answer, and what the manager adds before the first training step.

    python benchmarks/startup.py

Prints, from one run: `--help` beside `python -c pass`; and for the digits the time from the start of the manager's own work
to the first training step, beside the imports of TensorFlow and Keras and the building of the user's data pipelines, which
no tool can spare. The first two are interleaved and repeated, and medians are given.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPEATS = 11
SETTINGS_FILE = "examples/classification/mysettings_digits.py"

MEASURE = """
import sys, tempfile, time
sys.path.insert(0, {root!r})
begin = time.perf_counter()
from expman.runtimes.tensorflow_notices import start_tensorflow
start_tensorflow()
import keras, matplotlib, sklearn.datasets, sklearn.model_selection
imported = time.perf_counter()
from expman.settings.loading import load_settings
from expman.records.experiment_folder import ExperimentFolder
from expman.training import estimator
settings = load_settings({file!r})
pipeline_seconds = 0.0
build = settings.functions["get_input_pipeline_train_val"]

def timed_pipeline(batch_size, raw_data_files_folder, shuffle_batches):
    global pipeline_seconds
    started = time.perf_counter()
    dataset = build(batch_size, raw_data_files_folder, shuffle_batches)
    pipeline_seconds += time.perf_counter() - started
    return dataset

class FirstStep(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print(imported - begin, pipeline_seconds, time.perf_counter() - imported - pipeline_seconds, flush=True)
        raise KeyboardInterrupt

settings.functions.update(get_input_pipeline_train_val=timed_pipeline,
                          addon_callbacks=lambda: [FirstStep()])
with tempfile.TemporaryDirectory() as folder:
    made = estimator.Estimator(settings=settings)
    try:
        made.train(ExperimentFolder.create(working_folder=folder, session_name="digits", hparams={{}}))
    except KeyboardInterrupt:
        pass
"""


def seconds_of(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    empty, helped = [], []
    for _ in range(REPEATS):
        empty.append(seconds_of([sys.executable, "-c", "pass"]))
        helped.append(seconds_of([sys.executable, "experiments_manager.py", "--help"]))
    print(f"python -c pass                {statistics.median(empty):.3f} s")
    print(f"experiments_manager --help    {statistics.median(helped):.3f} s, "
          f"{statistics.median(one / other for one, other in zip(helped, empty)):.1f} times as long")
    rows = []
    for _ in range(3):
        code = MEASURE.format(root=str(ROOT), file=SETTINGS_FILE)
        answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
        rows.append([float(value) for value in answer.stdout.split()])
    imports, pipelines, manager = (statistics.median(column) for column in zip(*rows))
    print(f"imports of the user's file    {imports:.2f} s (TensorFlow, Keras, scikit-learn, matplotlib)")
    print(f"the user's data pipelines     {pipelines:.2f} s")
    print(f"manager, to the first step    {manager:.2f} s (checks, network, first batch, served model, first step compiled)")


if __name__ == "__main__":
    main()
