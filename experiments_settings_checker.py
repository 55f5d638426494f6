#!/usr/bin/env python3
"""Declares every setting and every prototype once, and checks a settings file against them.

    python experiments_settings_checker.py FILE        report all problems of a settings file and of its model file
    python experiments_settings_checker.py --table     print the table of settings and prototypes (Markdown)
    python experiments_settings_checker.py --update README.md   rewrite the tables between that page's markers
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from expman.declarations import (REQUIRED, MethodPrototype, Prototype, Setting, choice, class_weights, flag, integer, list_of,
                                 markdown_table, name, named_folders, number, optional, scalar_dict, text, text_or_list)
from expman.errors import ExperimentError, Problem

SETTINGS: tuple[Setting, ...] = (
    Setting("session_name", name(), "first part of the experiment folder's name, and the served model's name; odd characters "
            "become '-' in both"),
    Setting("workingFolder", name(), "parent of the experiment's folder, e.g. 'experiments/curve_fitting'"),
    Setting("model_file", name(), "the model file; relative to the settings file, else to the current folder"),
    Setting("user_files", list_of(name(), "str"),
            "files and folders beside the settings or model file to be kept for restart beyond those noticed by themselves", []),
    Setting("hparams", scalar_dict(), "what sweeps and --hparams may change; reaches `model`, decorates the folder's name",
            {}),
    Setting("random_seed", optional(integer(minimum=0, maximum=2**32 - 1)),
            "seeds Python, NumPy, TensorFlow and the shuffles; None: draws anew each time", 42),
    Setting("deterministic_ops", choice("auto", True, False),
            "the same operations give the same bits; 'auto': with a random_seed, but for GPU operations that cannot; False: "
            "faster", "auto"),
    Setting("n_outputs", optional(integer(minimum=1)), "passed to `model`", None),
    Setting("class_weights", optional(class_weights()),
            "what a training sample weighs by its label's class, in the loss; 'balanced': each class as much in all", None),
    Setting("raw_data_dir_train", text(), "passed to the input pipeline for training"),
    Setting("raw_data_dir_val", text(), "passed to the input pipeline for validation"),
    Setting("validation_sets", named_folders(),
            "further validation data, each evaluated beside raw_data_dir_val: its numbers are `NAME/loss` and `NAME/<metric>`, "
            "any of which may be earlystopping_metric", {}),
    Setting("raw_data_filename_extension", text_or_list(), "for the user's own pipeline", ""),
    Setting("nb_train_samples", integer(minimum=0),
            "samples of a training epoch in whole batches, each going on where the last one ended; 0: the dataset's own length", 0),
    Setting("nb_val_samples", integer(minimum=0),
            "samples of an evaluation at most, in whole batches, none twice; 0: the dataset's own length", 0),
    Setting("batch_size", integer(minimum=1), "samples of a batch"),
    Setting("nbEpoch", integer(minimum=1), "passes over the training data", unit="epochs"),
    Setting("reference_labels", list_of(text(), "str"), "one name per label column, for reports and the projector", []),
    Setting("initial_learning_rate", number(above=0), "learning rate of the first step"),
    Setting("num_epochs_per_decay", optional(number(above=0)), "length of a stair of the learning rate's decay", None,
            "epochs"),
    Setting("learning_rate_decay_factor", optional(number(above=0)), "factor between two stairs of the learning rate", None),
    Setting("plateau_patience", optional(integer(minimum=1)),
            "epochs without improvement before the learning rate is lowered, which stairs exclude", None, "epochs"),
    Setting("plateau_factor", number(above=0, below=1), "what the learning rate is then multiplied by", 0.1),
    Setting("predict_using_smoothed_parameters", flag(),
            "evaluate and export the exponential moving averages of the weights", True),
    Setting("weights_moving_average_decay", number(above=0, below=1), "decay of these averages, per step", 0.998),
    Setting("early_stopping_patience", optional(integer(minimum=1)), "epochs without improvement before stopping", None, "epochs"),
    Setting("earlystopping_metric", name(),
            "'loss' or a metric of `get_eval_metric_ops`, or NAME/… for one of validation_sets: what 'best' means", "loss"),
    Setting("earlystopping_mode", optional(choice("min", "max")),
            "whether that metric is best when small or large; must be set unless the metric is a loss", None),
    Setting("baseline", flag(),
            "measure a constant answer and a linear model before training, by the same loss and metrics", False),
    Setting("eval_not_rerun_until_sec", number(minimum=0), "least time between two evaluations", 0, "seconds"),
    Setting("eval_every_steps", optional(integer(minimum=1)),
            "evaluate after each so many steps of an epoch, beside its end; early_stopping_patience and plateau_patience then "
            "count evaluations", None, "steps"),
    Setting("nb_summary_per_train_epoch", integer(minimum=1), "training points that TensorBoard gets in an epoch, at most", 10),
    Setting("projector_num_samples", integer(minimum=0), "validation samples that TensorBoard's Projector shows; 0: off", 2000),
    Setting("checkpoint_every_seconds", number(above=0), "time between checkpoints within a long epoch; each epoch ends with one",
            600, "seconds"),
    Setting("gradient_clip_norm", optional(number(above=0)), "largest global norm of the gradient", None),
    Setting("gradient_accumulation_steps", integer(minimum=1), "steps whose gradients are averaged into one update", 1,
            "steps"),
    Setting("steps_per_execution", optional(integer(minimum=1)),
            "training steps between two returns to Python; None: as many as take about 100 ms", None, "steps"),
    Setting("used_gpu_IDs", list_of(integer(minimum=0), "int of at least 0"), "GPUs to train on; empty: CPU", []),
    Setting("distribution_strategy", choice("auto", "OneDeviceStrategy", "MirroredStrategy", "MultiWorkerMirroredStrategy"),
            "auto: one device, or MirroredStrategy over several used_gpu_IDs; MultiWorker…: the processes of TF_CONFIG", "auto"),
    Setting("useXLA", flag(), "compile the training step with XLA", False),
    Setting("enable_mixed_precision", flag(), "bfloat16 on CPU and on GPUs that have it, else float16 with loss scaling", False),
    Setting("use_profiling", flag(), "trace a few steps after the warm-up: a trace for Perfetto, a table in the log", False),
    Setting("save_model_variables_to_pandas", flag(),
            "write all trainable variables after each evaluation into model_variables.pkl, for pandas", False),
    Setting("export_keep_versions", integer(minimum=1), "newest exported versions to keep", 5),
    Setting("export_policy", choice("best", "latest"), "export after an evaluation that improved, or after each", "best"),
    Setting("input_data_name", name(), "the served input's name when there is one", "input"),
    Setting("served_head", name(), "the output that the client asks for"),
    Setting("tensorflow_server_address", name(), "address of the model server", "127.0.0.1"),
    Setting("tensorflow_server_port", integer(minimum=0, maximum=65535), "gRPC port; 0: any free one", 9000),
    Setting("tensorflow_server_rest_port", integer(minimum=0, maximum=65535), "REST port; 0: off", 0),
    Setting("wait_for_server_ready_int_secs", number(above=0), "how long a client waits for the server", 60, "seconds"),
    Setting("serving_client_timeout_int_secs", number(above=0), "longest time of one request", 5, "seconds"),
    Setting("serve_on_gpu", flag(), "let the server use the GPU", False),
    Setting("grpc_max_message_length", integer(minimum=1), "largest gRPC message, both directions, server and client",
            512 * 2**20, "bytes"),
    Setting("tracking_uri", text(),
            "MLflow server that mirrors the experiment, see docs/mlflow.md; '': that of MLFLOW_TRACKING_URI, if any", ""),
)

_OUTPUTS = ("inputs", "model_outputs_dict", "predictions", "embedding_code", "labels")

MODEL_PROTOTYPE = Prototype("model", ("data", "n_outputs", "hparams", "mode"),
                            "a dict from names to Keras tensors, or a `keras.Model` that outputs one")

PROTOTYPES: tuple[Prototype, ...] = (
    Prototype("data_preprocess", ("features", "model_placement"),
              "the preprocessed features; the same code runs in training, evaluation and the served model"),
    Prototype("getOptimizer", ("loss", "learning_rate", "global_step", "total_steps"),
              "a Keras optimizer; or a dict from names of layers or sub-models to the optimizer of their weights"),
    Prototype("train_step", ("model", "data", "optimizers"),
              "a dict of scalar tensors with `loss`: a training step of your own, which updates the weights; see "
              "docs/train_step.md", required=False),
    Prototype("get_total_loss", (*_OUTPUTS, "sample_weights", "weights_loss"),
              "a scalar tensor; or assign a loss of Keras: its name, an object, or a function of (y_true, y_pred)"),
    Prototype("get_eval_metric_ops", (*_OUTPUTS, "sample_weights"),
              "a dict from names to scalar tensors (averaged over samples), or to (Keras metric, y_true, y_pred), the metric as "
              "class, name or object; each entry of a vector gets a name of its own, see `reference_labels`"),
    Prototype("get_validation_summaries", _OUTPUTS,
              "a dict from tags to tensors: rank 4 is drawn as images, rank 0 as a scalar, the rest as histograms",
              required=False),
    Prototype("get_input_pipeline_train_val", ("batch_size", "raw_data_files_folder", "shuffle_batches"),
              "a `tf.data.Dataset` of (features, labels) or (features, labels, sample weights), a function that "
              "makes one, or the pair (function, None)"),
    Prototype("get_input_pipeline_serving", (), "a `tf.TensorSpec`, or a dict from names to `tf.TensorSpec`"),
    Prototype("model_outputs_postprocessing_for_serving", ("model_outputs_dict",), "the dict of the served outputs",
              required=False),
    Prototype("addon_callbacks", ("model", "train_samples", "val_samples"), "a list of Keras callbacks", required=False),
    Prototype("Client_IO", ("clientInitSpecs", "debugMode"),
              "an object with the methods getInputData, decodeResponse and finalize; its `served_heads` may name the outputs of "
              "a request, or a signature such as 'serving_default', instead of `served_head`"),
)

CLIENT_METHODS: tuple[MethodPrototype, ...] = (
    MethodPrototype("getInputData", ("idx", "index"),
                    "an array, or a dict of arrays by input name, for one request; or raises StopIteration. `idx` counts the "
                    "requests from 1, `index` from 0"),
    MethodPrototype("decodeResponse", ("result", "outputs"),
                    "nothing. `result` is a PredictResponse, `outputs` a dict of its arrays by name"),
    MethodPrototype("finalize", (), "nothing; called once at the end"),
)

_CLOSE_NAME = 0.8


def default_settings() -> dict[str, Any]:
    """The value of each setting that a file need not give."""
    return {setting.name: setting.default for setting in SETTINGS if setting.default is not REQUIRED}


def check_settings(namespace: Mapping[str, Any], *, lines: Mapping[str, int], file: str) -> list[Problem]:
    """Finds all problems of an executed settings file.

    Arguments:
        namespace: the names that the file defines.
        lines: for each of these names the line of its last assignment.
        file: for the messages.
    """
    def problem(subject: str, fault: str) -> Problem:
        return Problem(f"{file}:{lines[subject]}" if subject in lines else file, f"{subject} {fault}")

    unknown_names = _misspelt_names(namespace, lines)
    problems = [problem(wrong, f"is not a known name. Did you mean {right}? "
                               "Rename it, or start the name of a helper of your own with an underscore.")
                for wrong, right in unknown_names.items()]
    for declared in (*SETTINGS, *PROTOTYPES):
        needed = declared.default is REQUIRED if isinstance(declared, Setting) else declared.required
        if declared.name not in namespace:
            if needed and declared.name not in unknown_names.values():
                problems.append(problem(declared.name, _missing(declared)))
            continue
        value = namespace[declared.name]
        fault = declared.kind.fault(value) if isinstance(declared, Setting) else declared.fault(value)
        if fault:
            problems.append(problem(declared.name, fault))
    problems += [problem("Client_IO", fault) for fault in client_faults(namespace.get("Client_IO"))]
    problems += [problem(subject, fault) for subject, fault in _faults_between_settings(namespace)]
    return sorted(problems, key=lambda found: lines.get(found.text.split()[0], sys.maxsize))


def client_faults(client_class: Any) -> list[str]:
    """What is wrong with the methods of `Client_IO`; [] for anything that is no class, which the prototype's check reports."""
    if not inspect.isclass(client_class):
        return []
    faults = []
    for method in CLIENT_METHODS:
        fault = method.fault(_bound_method(client_class, method.name))
        if fault:
            faults.append(f"method {method.name}({', '.join(['self', *method.parameters[:1]])}) {fault}")
    return faults


def _bound_method(client_class: type, name: str) -> Any:
    """The method as an object of the class has it; None when there is none."""
    attribute = inspect.getattr_static(client_class, name, None)
    bind = getattr(attribute, "__get__", None)
    return bind(object(), client_class) if bind else attribute


def _misspelt_names(namespace: Mapping[str, Any], lines: Mapping[str, int]) -> dict[str, str]:
    """The user's names that look like a known one which the file does not define."""
    known = {declared.name for declared in (*SETTINGS, *PROTOTYPES)}
    absent = {known_name.lower(): known_name for known_name in known - namespace.keys()}
    misspelt = {}
    for candidate in lines:
        if candidate in known or candidate.startswith("_"):
            continue
        # A constant of the user's own is in capitals: only a known name in capitals is meant to be that name.
        cutoff = 1.0 if candidate.isupper() else _CLOSE_NAME
        close = difflib.get_close_matches(candidate.lower(), absent, n=1, cutoff=cutoff)
        if close:
            misspelt[candidate] = absent[close[0]]
    return misspelt


def _missing(declared: Setting | Prototype) -> str:
    if isinstance(declared, Setting):
        return f"is missing: it must be {declared.kind.expectation} ({declared.meaning})."
    keyword = "class" if declared.name == "Client_IO" else "def"
    return f"is missing: write `{keyword} {declared.name}({', '.join(declared.parameters)})`, returning {declared.returns}."


def _faults_between_settings(namespace: Mapping[str, Any]) -> list[tuple[str, str]]:
    faults = []
    pair = ("num_epochs_per_decay", "learning_rate_decay_factor")
    if sum(namespace.get(member) is not None for member in pair) == 1:
        lone, other = sorted(pair, key=lambda member: namespace.get(member) is None)
        faults.append((lone, f"has no effect alone. Set {other} too, or remove it."))
    if namespace.get("plateau_patience") is not None and namespace.get("num_epochs_per_decay") is not None:
        faults.append(("plateau_patience", "does not go with num_epochs_per_decay: stairs set the learning rate at each step. "
                                           "Remove one of them."))
    if namespace.get("random_seed", 42) is None and namespace.get("deterministic_ops") is True:
        faults.append(("deterministic_ops", "needs random_seed, without which the random operations cannot be deterministic. "
                                            "Set random_seed, or remove deterministic_ops."))
    metric = namespace.get("earlystopping_metric", "loss")
    losses = ["loss", *(f"{set_name}/loss" for set_name in _validation_sets(namespace))]
    if metric not in losses and namespace.get("earlystopping_mode") is None:
        faults.append(("earlystopping_mode", f"must be 'min' or 'max', since earlystopping_metric is {metric!r} and a wrong "
                                             "guess would keep the worst model. Got None."))
    return faults


def _validation_sets(namespace: Mapping[str, Any]) -> Mapping[str, Any]:
    """The named validation data; {} for what is no dict, which its kind reports."""
    sets = namespace.get("validation_sets")
    return sets if isinstance(sets, dict) else {}


def settings_table() -> str:
    """The settings as a Markdown table."""
    return markdown_table(SETTINGS)


def prototypes_table() -> str:
    """The prototypes of the settings file and of the model file as a Markdown table."""
    rows = ["| function | parameters offered | returns |", "| --- | --- | --- |"]
    for prototype in (MODEL_PROTOTYPE, *PROTOTYPES):
        offered = ", ".join(f"`{parameter}`" for parameter in prototype.parameters) or "none"
        kind = " (model file)" if prototype is MODEL_PROTOTYPE else "" if prototype.required else " (optional)"
        rows.append(f"| `{prototype.name}`{kind} | {offered} | {prototype.returns} |")
    for method in CLIENT_METHODS:
        offered = ", ".join(f"`{parameter}`" for parameter in method.parameters) or "none"
        rows.append(f"| `Client_IO.{method.name}` | {offered} | {method.returns} |")
    return "\n".join(rows)


def _sweep_table() -> str:
    from expman.sweeps.sweep_file import sweep_table  # needs hyperopt
    return sweep_table()


def update_tables(page: str) -> str:
    """Returns a page with its tables, which stand between `<!-- settings -->`, `<!-- prototypes -->` or `<!-- sweep -->` and
    `<!-- end -->`, written anew."""
    for marker, table in (("settings", settings_table), ("prototypes", prototypes_table), ("sweep", _sweep_table)):
        head, separator, rest = page.partition(f"<!-- {marker} -->\n")
        if separator:
            _, end, tail = rest.partition("<!-- end -->")
            page = f"{head}{separator}\n{table()}\n\n{end}{tail}"
    return page


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Checks a settings file and its model file.")
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("file", nargs="?", metavar="FILE", help="the settings file to check")
    action.add_argument("--table", action="store_true", help="print the tables of settings and prototypes")
    action.add_argument("--update", metavar="PAGE", help="rewrite the tables of a Markdown page")
    options = parser.parse_args(arguments)
    if options.table:
        print(settings_table(), prototypes_table(), sep="\n\n")
    elif options.update:
        page = Path(options.update)
        page.write_text(update_tables(page.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        from expman.settings import load_settings
        try:
            load_settings(options.file)
        except ExperimentError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        print(f"{options.file}: no problem found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
