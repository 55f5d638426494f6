"""Makes observers by the names that the server is given: what they are, it does not know."""

from __future__ import annotations

import contextlib
import importlib
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from expman.errors import ServingError
from expman.serving.observers.observers import Observer

if TYPE_CHECKING:
    from expman.serving.inference.inference import Inference
    from expman.serving.models.model_config import ModelConfig

_FLAG = "--observers"


@dataclass(frozen=True, kw_only=True)
class ObserverContext:
    """The arguments that the factory of an observer is given.

    Attributes:
        inference: answers requests with any version that is served, unobserved: for those who ask a second version the same.
        models: what the server was started with: name and base path of each.
        worker_number: which of the processes that share the ports, from 0: for who writes files of his own.
    """

    inference: Inference
    models: Sequence[ModelConfig]
    worker_number: int = 0


ObserverFactory = Callable[[ObserverContext], Observer]


def make_observer(factory: str | ObserverFactory, context: ObserverContext) -> Observer:
    """Makes an observer.

    Arguments:
        factory: a function, or its name as `package.module:function`; a class will do.
        context: what it is given.

    Raises:
        ServingError: there is no such function, it or its module raises, or what it returns is no observer.
    """
    make = _found(factory) if isinstance(factory, str) else factory
    with _told_in_words(f"cannot make '{factory}'"):
        observer = make(context)
    if not callable(getattr(observer, "observe", None)):
        raise ServingError(f"{_FLAG}: '{factory}' must return an object with the method observe(request). "
                           f"Got {type(observer).__name__}.")
    return observer


@contextlib.contextmanager
def _told_in_words(what: str) -> Iterator[None]:
    """Turns whatever the code of an observer raises into an error that names its last line."""
    try:
        yield
    except ServingError:
        raise
    except (Exception, SystemExit) as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        reason = "".join(traceback.format_exception_only(error)).strip()
        place = f" ({frame.filename}:{frame.lineno})" if frame.filename != __file__ else ""
        remedy = " Install it, or add its folder to PYTHONPATH." if isinstance(error, ImportError) else ""
        raise ServingError(f"{_FLAG}: {what}: {reason}{place}.{remedy}") from error


def _found(name: str) -> ObserverFactory:
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise ServingError(f"{_FLAG} must be package.module:function, separated by commas. Got '{name}'.")
    with _told_in_words(f"cannot import '{module_name}' of '{name}'"):
        module = importlib.import_module(module_name)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ServingError(f"{_FLAG}: '{module_name}' has no function '{function_name}'.")
    return function
