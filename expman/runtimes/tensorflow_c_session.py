"""Runs SavedModels through TensorFlow's C library."""

from __future__ import annotations

import ctypes
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from ctypes import c_char_p, c_void_p
from pathlib import Path
from typing import Any

import numpy as np

from expman.runtimes.session_runs import IN_CALLERS_THREAD, with_timeout
from expman.runtimes.tensorflow_c_api import Output, check_status, checked_status, tensorflow_library
from expman.runtimes.tensorflow_notices import hidden_notices
from expman.runtimes.tensorflow_tensors import new_tensor, take_array
from expman.wire.status import Code, StatusError

# Runs as short as this are not worth handing over to other threads. What others do at the same time counts too: on a busy
# machine a run of a tenth of a millisecond may well take five to come back.
_SHORT_SECONDS = 0.02
_NUM_RUNS_TO_TRUST = 16

# Runs as quick as this take less time than their request takes to get from one Python thread to another.
_QUICK_SECONDS = 0.0001

_MAX_CALLS = 256  # Requests choose the order of what they ask for; what is kept for each order must not grow without end.


class _Call:
    """State that runs with the same feeds and fetches share; tells from the last runs whether the next one will be short."""

    def __init__(self, feeds: Sequence[Output], fetches: Sequence[Output]) -> None:
        self.num_inputs, self.num_outputs = len(feeds), len(fetches)
        self.inputs = (Output * len(feeds))(*feeds)
        self.outputs = (Output * len(fetches))(*fetches)
        self.new_input_tensors = c_void_p * len(feeds)
        self.new_output_tensors = c_void_p * len(fetches)
        self._num_short_runs = 0
        self._largest_input_bytes = 0
        self._fewest_seconds = math.inf
        self._has_quick_runs = False

    def is_short(self, input_bytes: int) -> bool:
        """Tells whether enough runs in a row were short, one with an input of at least this size among them."""
        return self._num_short_runs >= _NUM_RUNS_TO_TRUST and input_bytes <= self._largest_input_bytes

    def is_quick(self, input_bytes: int) -> bool:
        """True when the last runs were quick: the quickest of them, since what others do at the same time only adds to it."""
        return self._has_quick_runs and self.is_short(input_bytes)

    def has_run(self, input_bytes: int, seconds: float) -> None:
        """Takes note of a run. Threads may do so at the same time: a note that is lost does no harm."""
        if seconds >= _SHORT_SECONDS:
            self._num_short_runs = self._largest_input_bytes = 0
            return
        self._num_short_runs += 1
        if seconds < self._fewest_seconds:
            self._fewest_seconds = seconds
        if not self._num_short_runs % _NUM_RUNS_TO_TRUST:
            self._has_quick_runs = self._fewest_seconds < _QUICK_SECONDS
            self._fewest_seconds = math.inf
        if input_bytes > self._largest_input_bytes:
            self._largest_input_bytes = input_bytes


class CApiSession:
    """A loaded SavedModel with its variables restored and its tables filled; safe to run from several threads.

    Arguments:
        folder: holds `saved_model.pb`.
        tag: which of the model's graphs to load.
        config: a serialized ConfigProto.
        in_callers_thread: run there what needs no other thread; False leaves it all to TensorFlow's threads.

    Attributes:
        meta_graph: the graph's serialized MetaGraphDef; drop it when it is read, since it can be large.

    Raises:
        StatusError: TensorFlow cannot load it.
        OSError: see `tensorflow_library`.
    """

    def __init__(self, folder: Path, *, tag: str, config: bytes, in_callers_thread: bool = True) -> None:
        self._library = tensorflow_library()
        _start_devices(config)
        self._in_callers_thread = in_callers_thread
        self._calls: dict[tuple[str | None, ...], _Call] = {}
        self._graph: int | None = self._library.TF_NewGraph()
        self._session: int | None = None
        try:
            self._session, self.meta_graph = _load(self._graph, folder, tag=tag, config=config)
        except BaseException:
            self.close()
            raise

    def run(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str], *,
            timeout_seconds: float | None = None) -> list[np.ndarray]:
        """Computes tensors.

        Arguments:
            feeds: tensor name (`operation:0`) -> value.
            fetches: names of tensors.
            timeout_seconds: how long it may take; None: as long as it takes.

        Raises:
            StatusError: a value does not fit, an operation failed, or the time is over.
        """
        call = self._calls.get((*feeds, None, *fetches)) or self._new_call(feeds, fetches)
        input_bytes = sum([array.nbytes for array in feeds.values()])
        # TensorFlow can only give up a run that its own threads compute, yet handing a run over to them takes longer than a
        # small model does, and nearly all clients set a deadline. So a run that will be short stays in the caller's thread;
        # should it be long after all, it overruns its deadline, and the next ones are handed over.
        if timeout_seconds is None or (self._in_callers_thread and timeout_seconds > _SHORT_SECONDS
                                       and call.is_short(input_bytes)):
            options = _in_callers_thread() if self._in_callers_thread else None
            return self._run(call, feeds, options=options, input_bytes=input_bytes)
        with _buffer(with_timeout(timeout_seconds)) as options:
            return self._run(call, feeds, options=options, input_bytes=input_bytes)

    def is_quick(self, feeds: Mapping[str, np.ndarray], fetches: Sequence[str]) -> bool:
        """Tells from the last runs whether a run takes no longer than handing it over to another thread would."""
        call = self._calls.get((*feeds, None, *fetches))
        return call is not None and self._in_callers_thread and call.is_quick(sum([array.nbytes for array in feeds.values()]))

    def _run(self, call: _Call, feeds: Mapping[str, np.ndarray], *, options: Any, input_bytes: int) -> list[np.ndarray]:
        library = self._library
        input_tensors = call.new_input_tensors()
        output_tensors = call.new_output_tensors()
        status = library.TF_NewStatus()
        try:
            for index, array in enumerate(feeds.values()):
                input_tensors[index] = new_tensor(array)
            begin = time.perf_counter()
            library.TF_SessionRun(self._session, options, call.inputs, input_tensors, call.num_inputs, call.outputs,
                                  output_tensors, call.num_outputs, None, 0, None, status)
            call.has_run(input_bytes, time.perf_counter() - begin)
            check_status(status)
            arrays = []
            for index, tensor in enumerate(output_tensors):
                output_tensors[index] = None
                arrays.append(take_array(tensor))
            return arrays
        finally:
            library.TF_DeleteStatus(status)
            for tensor in (*input_tensors, *output_tensors):
                if tensor is not None:
                    library.TF_DeleteTensor(tensor)

    def device_types(self) -> set[str]:
        """Returns what the model can run on: 'CPU', 'GPU' or others."""
        library = self._library
        with checked_status() as status:
            devices = library.TF_SessionListDevices(self._session, status)
        try:
            with checked_status() as status:
                return {library.TF_DeviceListType(devices, index, status).decode()
                        for index in range(library.TF_DeviceListCount(devices))}
        finally:
            library.TF_DeleteDeviceList(devices)

    def close(self) -> None:
        """Gives the model's memory back; call it when no `run` is under way. A second call does nothing."""
        session, self._session = self._session, None
        graph, self._graph = self._graph, None
        with ExitStack() as undo:
            if graph is not None:
                undo.callback(self._library.TF_DeleteGraph, graph)
            if session is not None:
                undo.callback(_call_with_status, self._library.TF_DeleteSession, session)
                _call_with_status(self._library.TF_CloseSession, session)

    def _new_call(self, feeds: Iterable[str], fetches: Iterable[str]) -> _Call:
        call = _Call([self._output(name) for name in feeds], [self._output(name) for name in fetches])
        if len(self._calls) >= _MAX_CALLS:
            self._calls.clear()
        self._calls[*feeds, None, *fetches] = call
        return call

    def _output(self, name: str) -> Output:
        operation_name, _, index = name.partition(":")
        operation = self._library.TF_GraphOperationByName(self._graph, operation_name.encode())
        if operation is None or int(index or 0) >= self._library.TF_OperationNumOutputs(operation):
            raise StatusError(Code.NOT_FOUND, f"The model's graph has no tensor '{name}'.")
        return Output(operation, int(index or 0))


@functools.cache
def _in_callers_thread() -> Any:
    """A buffer that nearly all runs need; kept for the life of the process."""
    return tensorflow_library().TF_NewBufferFromString(IN_CALLERS_THREAD, len(IN_CALLERS_THREAD))


@contextmanager
def _buffer(content: bytes) -> Iterator[Any]:
    library = tensorflow_library()
    buffer = library.TF_NewBufferFromString(content, len(content))
    try:
        yield buffer
    finally:
        library.TF_DeleteBuffer(buffer)


@functools.cache
def _start_devices(config: bytes) -> None:
    """Lets TensorFlow look for devices, which it does once in a process, without its notices about those it lacks."""
    library = tensorflow_library()
    with hidden_notices(), _session_options(config) as options, ExitStack() as undo:
        graph = library.TF_NewGraph()
        undo.callback(library.TF_DeleteGraph, graph)
        with checked_status() as status:
            session = library.TF_NewSession(graph, options, status)
        _call_with_status(library.TF_DeleteSession, session)


@contextmanager
def _session_options(config: bytes) -> Iterator[int]:
    library = tensorflow_library()
    options = library.TF_NewSessionOptions()
    try:
        with checked_status() as status:
            library.TF_SetConfig(options, config, len(config), status)
        yield options
    finally:
        library.TF_DeleteSessionOptions(options)


def _load(graph: int, folder: Path, *, tag: str, config: bytes) -> tuple[int, bytes]:
    """Loads a SavedModel into a graph; returns the session and the serialized MetaGraphDef."""
    library = tensorflow_library()
    with _session_options(config) as options, ExitStack() as undo:
        meta_graph = library.TF_NewBuffer()
        undo.callback(library.TF_DeleteBuffer, meta_graph)
        tags = (c_char_p * 1)(tag.encode())
        # In this thread, whose priority its caller has chosen, and not beside the requests in the threads of all.
        run_options = undo.enter_context(_buffer(IN_CALLERS_THREAD))
        with checked_status() as status:
            session = library.TF_LoadSessionFromSavedModel(options, run_options, str(folder).encode(), tags, len(tags), graph,
                                                           meta_graph, status)
        return session, ctypes.string_at(meta_graph.contents.data, meta_graph.contents.length)


def _call_with_status(function: Callable[[int, int], None], handle: int) -> None:
    with checked_status() as status:
        function(handle, status)
