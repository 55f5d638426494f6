"""Brings the messages of TensorFlow's native errors to what a user can read."""

from __future__ import annotations

import re

import tensorflow as tf

from expman.settings.user_traceback import is_user_file
from expman.training.data.batch_form import advice_on

_INTERNAL_LINE = re.compile(r'^\s*$|^Graph execution error|^\s*File "|^<stack traces|^Detected at node|^\s*\[\[?\{\{node|^\s*\^+')
_STACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'^\s*File "(.+)", line (\d+)', re.MULTILINE)
_NODE = re.compile(r"\{\{[^}]*\}\}\s*")
_MOST_LINES = 12
NO_DETERMINISM = re.compile(r"^(?!\s*File )(?=.*determinis).*(\bno\b|not\b)", re.IGNORECASE | re.MULTILINE)
DETERMINISM_REMEDY = "Set deterministic_ops = False, or use another operation."


def readable_message(error: tf.errors.OpError) -> str:
    """The error's message without the names of graph nodes and the stack of the graph's construction, with advice on batches of
    samples that differ in shape.
    """
    message, _, stack = error.message.partition(_STACK)
    if stack:  # of Python code that TensorFlow called: a generator, a py_function
        user_lines = [f"{file}:{line}" for file, line in _FRAME.findall(stack) if is_user_file(file)]
        message = f"{message.rstrip()} ({user_lines[-1]})" if user_lines else message
    lines = [_NODE.sub("", line).rstrip() for line in message.splitlines() if not _INTERNAL_LINE.match(line)]
    message = advice_on("\n".join(lines[:_MOST_LINES]).strip() or type(error).__name__)
    return f"{message} {DETERMINISM_REMEDY}" if NO_DETERMINISM.search(message) else message
