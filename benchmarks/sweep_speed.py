"""How many trials a sweep trains in a minute, beside one process of the script per trial; and two at a time beside one.

    python benchmarks/sweep_speed.py [--trials N] [--repeats N]

All contestants train the same small experiment, curve fitting with 500 samples and 3 epochs, with the same hyperparameters.
A trial of a sweep exports once, at its end, and a training in a process of its own after each evaluation that improved. All
take turns; medians are given. `process` starts `experiments_manager.py --usersettings … --hparams …` for each trial, one
after the other; `sweep` runs `--sweep` with a grid; `two` the same with max_parallel_trials = 2; `tune` runs them on Ray Tune, if
it is installed (see sweep_speed_ray_tune.py). The memory is the resident set of the sweep's own process.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = str(ROOT / "experiments_manager.py")
SWEEP = '''\
experiment_settings_file = "settings.py"
sweepFolder = "{folder}"
space = {{"learningRate": {rates}}}
algorithm = "grid"
max_trials = {num_trials}
max_parallel_trials = {num_parallel}
'''


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--process_trials", type=int, default=10, help="trials of `process` and of `tune`")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rates = [0.001 * (number + 1) for number in range(options.trials)]
    per_minute: dict[str, list[float]] = {"process": [], "sweep": [], "two": []}
    if importlib.util.find_spec("ray"):
        per_minute["tune"] = []
    else:
        print("tune is left out: pip install -r requirements-ray.txt")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        settings = write_settings(folder)
        for repeat in range(options.repeats):
            per_minute["process"].append(60 / seconds_per_process(settings, rates[:options.process_trials]))
            if "tune" in per_minute:
                per_minute["tune"].append(60 / seconds_per_tune_trial(folder / f"tune{repeat}", rates[:options.process_trials]))
            print("; ".join(f"{name}: {rate[-1]:.1f} trials/min" for name, rate in per_minute.items() if rate), flush=True)
            for name, num_parallel in (("sweep", 1), ("two", 2)):
                seconds, memory = sweep_seconds(folder, f"{name}{repeat}", rates, num_parallel=num_parallel)
                per_minute[name].append(60 * len(rates) / seconds)
                print(f"{name}: {per_minute[name][-1]:.1f} trials/min, memory of the sweep's process {memory[0]:.0f} MB after the "
                      f"first, {memory[-1]:.0f} MB after the last trial", flush=True)
    for name, rate in per_minute.items():
        print(f"{name}: {statistics.median(rate):.1f} trials/min (median of {options.repeats})")
    print_ratio("sweep / process", per_minute["sweep"], per_minute["process"], bar=5)
    if "tune" in per_minute:
        print_ratio("sweep / tune", per_minute["sweep"], per_minute["tune"], bar=3)
    print_ratio("two / sweep", per_minute["two"], per_minute["sweep"], bar=1.6)


def write_settings(folder: Path) -> Path:
    """The shipped curve fitting, with few samples and epochs."""
    text = (ROOT / "examples/regression/mysettings_curve_fitting.py").read_text(encoding="utf-8")
    for old, new in (("../../model_zoo", str(ROOT / "model_zoo")), ('"experiments/curve_fitting"', f'"{folder}/single"'),
                     ('"nbSamples": 5000', '"nbSamples": 500'), ("nbEpoch = 40", "nbEpoch = 3")):
        assert old in text, old
        text = text.replace(old, new)
    settings = folder / "settings.py"
    settings.write_text(text, encoding="utf-8")
    return settings


def seconds_per_process(settings: Path, rates: list[float]) -> float:
    """Seconds of a trial, each in a process that starts from nothing."""
    start = time.perf_counter()
    for rate in rates:
        subprocess.run([sys.executable, SCRIPT, "--usersettings", str(settings), "--hparams", f"learningRate={rate}"],
                       cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return (time.perf_counter() - start) / len(rates)


def seconds_per_tune_trial(folder: Path, rates: list[float]) -> float:
    """Seconds of a trial on Ray Tune, the start of its local cluster included."""
    start = time.perf_counter()
    subprocess.run([sys.executable, str(ROOT / "benchmarks" / "sweep_speed_ray_tune.py"), str(folder), *map(str, rates)],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return (time.perf_counter() - start) / len(rates)


def sweep_seconds(folder: Path, name: str, rates: list[float], *, num_parallel: int) -> tuple[float, list[float]]:
    """Seconds of a whole sweep, and the memory of its own process in MB after each trial."""
    file = folder / f"mysweep_{name}.py"
    file.write_text(SWEEP.format(folder=folder / name, rates=rates, num_trials=len(rates), num_parallel=num_parallel),
                    encoding="utf-8")
    memory: list[float] = []
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, SCRIPT, "--sweep", str(file)], cwd=ROOT, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as process:
        for line in process.stdout:
            if line.startswith("trial "):
                memory.append(resident_megabytes(process.pid))
    assert process.returncode == 0 and len(memory) == len(rates), (process.returncode, len(memory))
    return time.perf_counter() - start, memory


def resident_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def print_ratio(name: str, above: list[float], below: list[float], *, bar: float) -> None:
    ratios = [one / other for one, other in zip(above, below)]
    print(f"{name}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), bar {bar}")


if __name__ == "__main__":
    main()
