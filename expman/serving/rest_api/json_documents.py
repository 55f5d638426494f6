"""Reads the JSON of a request's body; what is wrong with it is told in TensorFlow Serving's words."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import numpy as np
import orjson

from expman.serving.rest_api.json_numbers import number_texts
from expman.wire.status import Code, StatusError

# TensorFlow Serving repeats the whole value in its message, whatever its size.
_LONGEST_QUOTED_TEXT = 512
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)

# The end of the text ends it too: else each quotation mark after a missing one would be looked at up to there.
_STRING = r'"(?:[^"\\]++|\\.)*+"?'
_STRING_OR_BRACKET = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
# `Inf` is allowed beside `Infinity`; a string is matched as a whole, so that its text stays as it is.
_STRING_OR_INF = re.compile(rf"{_STRING}|\bInf(?!inity)", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")

_WORDS_OF_FAULTS = (  # Python's -> TensorFlow Serving's, which are RapidJSON's.
    ("Expecting value", "Invalid value."),
    ("Expecting property name", "Missing a name for object member."),
    ("Expecting ':' delimiter", "Missing a colon after a name of object member."),
    ("Extra data", "The document root must not be followed by other values."),
    ("Unterminated string", "Missing a closing quotation mark in string."),
    ("Invalid control character", "Invalid encoding in string."),
    ("Invalid \\escape", "Invalid escape character in string."),
    ("Invalid \\uXXXX escape", "Incorrect hex digit after \\u escape in string."),
)


class _NumberTooBigError(ValueError):
    """A number is beyond what a double can hold; the message is the number's text."""


def parse_object(body: bytes) -> dict[str, Any]:
    """Reads a JSON object; NaN, Infinity, Inf and their negatives are numbers, as in TensorFlow Serving.

    Whole numbers come as int up to 64 bits, signed or not; greater ones as float.

    Raises:
        StatusError: INVALID_ARGUMENT, the body is no JSON or no object; tells what and where.
    """
    document = parse_strictly(body)
    if document is None:
        # Strict JSON lacks those numbers; and its reader's words for an error are not those that are wanted.
        document = _parse_leniently(body)
    if type(document) is not dict:
        raise StatusError(Code.INVALID_ARGUMENT, f"JSON Value: {json_text(document)} Is not object")
    return document


def parse_strictly(body: bytes) -> Any:
    """Reads JSON without those extra numbers, at the same pace whatever it is: None for what is no such JSON, or is `null`."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def json_type_name(value: object) -> str:
    """TensorFlow Serving's name for the kind of a JSON value: `Null`, `True`, `Number` …."""
    if value is None or isinstance(value, bool):
        return "Null" if value is None else str(value)
    return {dict: "Object", list: "Array", str: "String"}.get(type(value), "Number")


def json_text(value: object) -> str:
    """A JSON value for a message, indented by four; cut when it is long."""
    if type(value) is float:
        return number_texts(np.array([value], np.float32 if abs(value) <= _LARGEST_FLOAT32 else np.float64))[0]
    text, length = [], 0
    for part in json.JSONEncoder(indent=4, ensure_ascii=False).iterencode(value):
        text.append(part)
        length += len(part)
        if length > _LONGEST_QUOTED_TEXT:
            return "".join(text)[:_LONGEST_QUOTED_TEXT] + "…"
    return "".join(text)


def _parse_leniently(body: bytes) -> Any:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        _raise("Invalid encoding in string.", error.start)
    if not text.strip(" \t\r\n"):
        _raise("The document is empty.", len(body))
    if (position := _lone_surrogate(text)) is not None:
        _raise("The surrogate pair in string is invalid.", _offset(text, position))
    spelled_out = _STRING_OR_INF.sub(lambda match: "Infinity" if match[0] == "Inf" else match[0], text)
    try:
        return json.loads(spelled_out, parse_float=_double, parse_int=_whole_number)
    except _NumberTooBigError as error:
        _raise("Number too big to be stored in double.", _offset(text, text.find(str(error))))
    except json.JSONDecodeError as error:
        position = error.pos - error.msg.startswith("Invalid \\uXXXX")  # There an escape's place is its backslash.
        _raise(_words_of_error(error), _offset(text, _position_before_spelling_out(text, position)))
    except RecursionError:
        raise StatusError(Code.INVALID_ARGUMENT, "JSON Parse error: Lists or objects are nested too deeply.") from None


def _raise(words: str, offset: int) -> NoReturn:
    raise StatusError(Code.INVALID_ARGUMENT, f"JSON Parse error: {words} at offset: {offset}") from None


def _offset(text: str, position: int) -> int:
    return len(text[:position].encode("utf-8"))


def _position_before_spelling_out(text: str, position: int) -> int:
    added = len("Infinity") - len("Inf")
    starts = (match.start() for match in _STRING_OR_INF.finditer(text) if match[0] == "Inf")
    return position - added * sum(start + added * index < position for index, start in enumerate(starts))


def _double(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _NumberTooBigError(text)
    return number


def _whole_number(text: str) -> int | float:
    if len(text) <= 20:  # As long as the longest of 64 bits; longer ones take Python ever more time.
        number = int(text)
        if -2**63 <= number < 2**64:
            return number
    return _double(text)


def _lone_surrogate(text: str) -> int | None:
    """Where an escape stands for half of a character whose other half is missing, or None."""
    if not _SURROGATE_ESCAPE.search(text):
        return None
    first_half = None  # The match of one that awaits its second half.
    for match in _ESCAPE.finditer(text):
        code = int(match[1], 16) if match[1] else 0
        if 0xDC00 <= code <= 0xDFFF:
            if first_half is None or first_half.end() != match.start():
                return (first_half or match).start()
            first_half = None
        elif first_half is not None:
            return first_half.start()
        elif 0xD800 <= code <= 0xDBFF:
            first_half = match
    return None if first_half is None else first_half.start()


def _words_of_error(error: json.JSONDecodeError) -> str:
    for beginning, words in _WORDS_OF_FAULTS:
        if error.msg.startswith(beginning):
            return words
    follows = error.doc[error.pos:error.pos + 1]
    if follows and follows in ".eE" and error.doc[error.pos - 1:error.pos].isdigit():
        return "Miss fraction part in number." if follows == "." else "Miss exponent in number."
    open_brackets = []
    for match in _STRING_OR_BRACKET.finditer(error.doc, 0, error.pos):
        if match[0] in "[{":
            open_brackets.append(match[0])
        elif match[0] in "]}":
            open_brackets.pop()
    if open_brackets and open_brackets[-1] == "[":
        return "Missing a comma or ] after an array element."
    return "Missing a comma or } after an object member."
