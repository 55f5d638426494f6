"""Declares every setting and every prototype of a user's files, once.

The checks, the defaults, `--help` and the tables of the pages come from here.
"""

from __future__ import annotations

from typing import Any

from expman.settings.vocabulary import (
    REQUIRED,
    MethodPrototype,
    Prototype,
    Setting,
    choice,
    class_weights,
    flag,
    integer,
    list_of,
    name,
    named_folders,
    number,
    optional,
    scalar_dict,
    text,
    text_or_list,
)

SETTINGS: tuple[Setting, ...] = (
    Setting("session_name", name(), "first part of the experiment folder's name, and the served model's name; odd characters "
            "become '-' in both"),
    Setting("workingFolder", name(), "parent of the experiment's folder, e.g. 'experiments/curve_fitting'"),
    Setting("model_file", name(),
            "the model file; relative to the settings file, else to the current folder; or `zoo:NAME`, a model of the zoo"),
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
            "samples of a training epoch in whole batches, each going on where the last one ended; 0: the dataset's own length",
            0),
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
    Setting("early_stopping_patience", optional(integer(minimum=1)), "epochs without improvement before stopping", None,
            "epochs"),
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


def default_settings() -> dict[str, Any]:
    """The value of each setting that a file need not give."""
    return {setting.name: setting.default for setting in SETTINGS if setting.default is not REQUIRED}
