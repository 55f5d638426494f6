"""The changes that turn an experiment into its dry run, all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from expman.dry_run.dry_run import DryRun
from expman.settings.loading import Settings


@dataclass(frozen=True)
class Patch:
    """Another value for a setting, or another function for one of the user's.

    Attributes:
        name: the setting or function.
        value: what replaces it.
        reason: why a dry run needs that.
    """

    name: str
    value: Any
    reason: str


def patches_of(run: DryRun) -> list[Patch]:
    """The patches of a dry run; whatever is not named here is checked as the user wrote it."""
    return [
        Patch("workingFolder", str(run.temporary_folder), "what is written disappears with the temporary folder"),
        Patch("get_input_pipeline_train_val", run.repeated_batches,
              "the user's pipeline is set up once, and the loss must fall on one batch repeated"),
        Patch("Client_IO", run.resizes.recorded_client(run.settings.functions["Client_IO"]),
              "what it resizes images by is compared with the pipeline"),
        Patch("nb_train_samples", 0, "the repeated batches are as long as the epoch already"),
        Patch("nb_val_samples", 0, "one batch shows what an evaluation does"),
        Patch("class_weights", None, "the repeated batches bring their weights already"),
        Patch("gradient_accumulation_steps", 1,
              "with one batch repeated, the mean of several gradients is the same gradient"),
        Patch("distribution_strategy", "auto",
              "this process tries the experiment without other workers; several GPUs are mirrored all the same"),
        Patch("tensorflow_server_address", "127.0.0.1", "the server is started and asked on this machine"),
        Patch("tensorflow_server_port", 0, "any free port: a server may be running on the experiment's own"),
    ]


def patched(settings: Settings, patches: Iterable[Patch]) -> Settings:
    """The settings with the patches applied; the given ones stay as they are.

    Raises:
        ValueError: a patch names neither a setting nor a function of these settings.
    """
    values, functions = dict(settings.values), dict(settings.functions)
    for patch in patches:
        if patch.name not in values and patch.name not in functions:
            raise ValueError(f"the patch '{patch.name}' names neither a setting nor a function of {settings.file}")
        (values if patch.name in values else functions)[patch.name] = patch.value
    return dataclasses.replace(settings, values=values, functions=functions)
