"""Loads a settings file and its model file with the hparams overrides, and calls the functions that they define."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from expman.errors import Problem, SettingsError, UserCodeError
from expman.settings import contract
from expman.settings.hparams import HparamsOverrides
from expman.settings.keras_loss import as_total_loss
from expman.settings.mentioned_files import mentioned_files
from expman.settings.settings_check import check_settings
from expman.settings.user_files import named_files, noticed_reads, read_files_below
from expman.settings.user_imports import SHIPPED, begin_imports, imports_of_model_file, modules_of_user
from expman.settings.user_module import UserModule, user_code
from expman.settings.user_traceback import is_user_file
from expman.settings.zoo_models import ZOO_FOLDER, zoo_file, zoo_name

_PROTOTYPES = {prototype.name: prototype for prototype in (*contract.PROTOTYPES, contract.MODEL_PROTOTYPE)}

_DATA_FUNCTIONS = ("get_input_pipeline_train_val", "get_input_pipeline_serving", "Client_IO")  # what they read is data


@dataclass(frozen=True)
class Unavailable:
    """Stands for an argument that this experiment cannot offer; asking for it is an error that gives the reason."""

    reason: str


@dataclass(frozen=True)
class Settings:
    """A checked experiment: each setting is an attribute, each function of the user is called through `call`.

    Attributes:
        values: all settings by name, defaults filled in.
        functions: the user's functions and classes by name, `model` included.
        hparam_origins: for each hyperparameter where its value comes from.
        hparam_overrides: the hyperparameters that were not left as the file has them.
        file: the settings file that was executed.
        model_file: the model file that was executed.
        original_file: the settings file as the user first named it; differs from `file` after a restart.
    """

    values: Mapping[str, Any]
    functions: Mapping[str, Callable[..., Any]]
    hparam_origins: Mapping[str, str]
    hparam_overrides: Mapping[str, Any]
    file: Path
    model_file: Path
    original_file: Path

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["values"][name]
        except KeyError:
            raise AttributeError(f"'{name}' is not a setting") from None

    def defines(self, function_name: str) -> bool:
        """Tells whether the settings or the model file defines a function."""
        return function_name in self.functions

    def declares(self, function_name: str, parameter: str) -> bool:
        """Returns True when a function of the user asks for a parameter."""
        offered = dict.fromkeys(_PROTOTYPES[function_name].parameters)
        return parameter in _PROTOTYPES[function_name].select(self.functions[function_name], offered)

    def place_of(self, function_name: str) -> str:
        """`file:line` of a function of the user, for messages."""
        code = getattr(self.functions.get(function_name), "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if code else str(self.file)

    def call(self, function_name: str, **offered: Any) -> Any:
        """Calls a function of the user by keyword with those of the offered arguments that it declares.

        Raises:
            UserCodeError: the function raised, or asked for an argument that is `Unavailable`.
        """
        function = self.functions[function_name]
        arguments = _PROTOTYPES[function_name].select(function, offered)
        for name, value in arguments.items():
            if isinstance(value, Unavailable):
                raise UserCodeError(
                    f"{self.place_of(function_name)}: {function_name} asks for {name}, but {value.reason}")
        notices = contextlib.nullcontext() if function_name in _DATA_FUNCTIONS else noticed_reads()
        with (user_code(function_name, default_place=self.place_of(function_name),
                        runs_from_copy=self.file != self.original_file), notices):
            return function(**arguments)

    def user_modules(self) -> dict[str, Path]:
        """The modules that the user's files have imported from beside or below them: relative path → file."""
        return modules_of_user(self._folders(), except_for=[self.file.resolve(), self.model_file.resolve()])

    @property
    def data_folders(self) -> dict[str, str]:
        """The raw data folders: the setting that names one → the folder."""
        named = {f"validation_sets['{name}']": folder for name, folder in self.validation_sets.items()}
        return {"raw_data_dir_train": self.raw_data_dir_train, "raw_data_dir_val": self.raw_data_dir_val, **named}

    def files_to_keep(self) -> dict[str, Path]:
        """The files that the user's files have read from beside or below them, that `Client_IO` mentions or `user_files` names:
        relative path → file.
        """
        data = [Path(folder) for folder in (self.workingFolder, *self.data_folders.values())
                if folder and not any(own.is_relative_to(Path(folder).resolve()) for own in self._folders())]
        read = read_files_below(self._folders(), except_below=[*data, *SHIPPED], others=self._files_of_client())
        return read | self.named_files(place=str(self.file))

    def _files_of_client(self) -> list[Path]:
        client_io = self.functions["Client_IO"]
        source = inspect.getsourcefile(client_io) if inspect.isclass(client_io) else None
        if source is None or not is_user_file(source):
            return []
        return mentioned_files(Path(source), client_io.__name__, except_in=_DATA_FUNCTIONS)

    def named_files(self, *, place: str) -> dict[str, Path]:
        """The files that the setting `user_files` names: relative path → file.

        Raises:
            SettingsError: one is not there; at `place`.
        """
        return named_files(self.values["user_files"], roots=self._folders(), place=place)

    def _folders(self) -> list[Path]:
        """Of the user's files."""
        return list(dict.fromkeys(file.resolve().parent for file in (self.original_file, self.file, self.model_file)))


def load_settings(file: str | os.PathLike[str], *, overrides: Mapping[str, Any] | None = None,
                  origin: str = "command line", model_file: Path | None = None, original_file: Path | None = None,
                  original_model_file: Path | None = None, import_folders: Iterable[Path] = (),
                  shown_files: Mapping[Path, Path] | None = None) -> Settings:
    """Executes and checks a settings file and its model file; neither is ever written.

    Arguments:
        file: the settings file.
        overrides: values that replace those of `hparams`, as text or in the type of the default.
        origin: where the overrides come from, for the experiment's record.
        model_file: used instead of the one that the settings name.
        original_file: what `__file__` says in the settings, when `file` is a copy.
        original_model_file: what `__file__` says in the model file, when `model_file` is a copy.
        import_folders: searched for imports before the folder of the settings file.
        shown_files: what `__file__` says in imported modules that are copies: copy, resolved → original.

    Raises:
        SettingsError: a file is missing or has errors; it lists all of them.
        UsageError: an override that the file's `hparams` do not know, or of another type.
        UserCodeError: a file raised while it was executed.
    """
    source = UserModule(Path(file), described_as="settings file")
    original = Path(original_file or file)
    hparams = HparamsOverrides(overrides or {}, origin=origin)
    begin_imports([*import_folders, original.resolve().parent], shown_files=shown_files)
    namespace = source.execute(module_name="experiment_settings", shown_file=original, hooks={"hparams": hparams.apply})
    hparams.check_all_used(namespace.get("hparams"), file=str(file))

    if "get_total_loss" in namespace:
        namespace = {**namespace, "get_total_loss": as_total_loss(namespace["get_total_loss"])}
    lines = source.lines_of_names()
    problems = check_settings(namespace, lines=lines, file=str(file))
    try:
        model_path = model_file or _find_model_file(namespace, source=source.path, original=original, lines=lines)
        model = _load_model(model_path, shown_file=original_model_file) if model_path else None
    except SettingsError as error:
        problems += error.problems
    if problems or model_path is None:
        raise SettingsError(problems)

    values = contract.default_settings() | {
        setting.name: namespace[setting.name] for setting in contract.SETTINGS if setting.name in namespace}
    if isinstance(values["class_weights"], dict):  # NumPy's numbers as Python's, which JSON has as keys
        values["class_weights"] = {int(label): float(weight) for label, weight in values["class_weights"].items()}
    functions = {
        prototype.name: namespace[prototype.name] for prototype in contract.PROTOTYPES if prototype.name in namespace}
    settings = Settings(
        values=values, functions=functions | {"model": model}, hparam_origins=hparams.origins(values["hparams"]),
        hparam_overrides=dict(hparams.applied), file=source.path, model_file=model_path, original_file=original)
    if original_file is None:  # else they were kept when the experiment started
        settings.named_files(place=f"{file}:{lines['user_files']}" if "user_files" in lines else str(file))
    return settings


def _find_model_file(namespace: Mapping[str, Any], *, source: Path, original: Path, lines: Mapping[str, int]) -> Path | None:
    """The model of the zoo that `model_file` names, else the file relative to the settings file, else to the current folder."""
    named = namespace.get("model_file")
    if not isinstance(named, str) or not named.strip():
        return None  # reported by the check of the setting
    place = f"{source}:{lines['model_file']}" if "model_file" in lines else str(source)
    name = zoo_name(named)
    if name is not None:
        try:
            return zoo_file(name)
        except LookupError as error:
            raise SettingsError([Problem(place, f"model_file '{named}': {error}")]) from error
    for candidate in (original.parent / named, Path(named)):
        if candidate.is_file():
            return candidate
    raise SettingsError([Problem(place, f"model_file '{named}' does not exist, neither relative to the settings file nor to "
                                        "the current folder. Correct the path.")])


def _load_model(path: Path, *, shown_file: Path | None) -> Callable[..., Any]:
    source = UserModule(path, described_as="model file")
    # The zoo imports all of its own as model_zoo.…; its `layers` must not hide the user's.
    folders = [] if path.parent == ZOO_FOLDER else [path.resolve().parent]
    with imports_of_model_file(folders, imported_names=source.imported_names()) as conflicts:
        namespace = source.execute(module_name="experiment_model", shown_file=shown_file)
    if conflicts:
        raise SettingsError([Problem(str(path), f"the model file imports {other}, and the settings file {own}: an experiment "
                                                "holds only one module of a name. Rename one of the two.")
                             for own, other in conflicts])
    prototype = contract.MODEL_PROTOTYPE
    if prototype.name not in namespace:
        raise SettingsError([Problem(str(path), f"the model file defines no `model`. Write `def model("
                                                f"{', '.join(prototype.parameters)})`, returning {prototype.returns}.")])
    error = prototype.error(namespace[prototype.name])
    if error:
        line = source.lines_of_names().get(prototype.name, 1)
        raise SettingsError([Problem(f"{path}:{line}", f"{prototype.name} {error}")])
    return namespace[prototype.name]
