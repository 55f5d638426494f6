"""JSON bodies are read as TensorFlow Serving reads them; what is wrong is told in its words, with the place."""

from __future__ import annotations

import json
import math

import pytest

from expman.serving.rest_api.json_documents import json_text, json_type_name, parse_object
from expman.wire.status import Code, StatusError


def _fault(body: bytes) -> str:
    with pytest.raises(StatusError) as caught:
        parse_object(body)
    assert caught.value.code == Code.INVALID_ARGUMENT
    return caught.value.message


def test_documents_are_read_as_python_reads_them() -> None:
    text = '{"a": [1, -2.5, 1e3, true, null, "\\u00e9\\n\\ud83d\\ude00 ü"], "b": {"c": 18446744073709551615}}'
    assert parse_object(text.encode()) == json.loads(text)


@pytest.mark.parametrize(("text", "value"), [
    ("Infinity", math.inf), ("-Infinity", -math.inf), ("Inf", math.inf), ("-Inf", -math.inf)])
def test_infinities_are_numbers(text: str, value: float) -> None:
    assert parse_object(b'{"a": [1, %b, "Inf \\" Inf"], "Inf": 2}' % text.encode()) == {"a": [1, value, 'Inf " Inf'], "Inf": 2}


def test_nan_is_a_number() -> None:
    assert math.isnan(parse_object(b'{"a": NaN}')["a"])


@pytest.mark.parametrize("beside", [b"1", b"NaN"])
def test_whole_numbers_of_more_than_64_bits_are_doubles(beside: bytes) -> None:
    document = parse_object(b'{"a": [%b, 18446744073709551615, 18446744073709551616, -9223372036854775808, '
                            b'-9223372036854775809]}' % beside)
    assert [type(value) for value in document["a"][1:]] == [int, float, int, float]
    assert document["a"][2] == 2.0**64


@pytest.mark.parametrize("body", [b"\xef\xbb\xbf{}", b" \t\r\n{ }\n"])
def test_byte_order_mark_and_blanks_are_skipped(body: bytes) -> None:
    assert parse_object(body) == {}


@pytest.mark.parametrize(("body", "words"), [
    (b"", "The document is empty. at offset: 0"),
    (b"  ", "The document is empty. at offset: 2"),
    (b"instances = [1, 2]", "Invalid value. at offset: 0"),
    (b'{"a": nul}', "Invalid value. at offset: 6"),
    (b'{"a": [1, ]}', "Invalid value. at offset: 10"),
    (b"{'a': 1}", "Missing a name for object member. at offset: 1"),
    (b'{"a": 1,}', "Missing a name for object member. at offset: 8"),
    (b'{"a" 1}', "Missing a colon after a name of object member. at offset: 5"),
    (b'{"a": 1 "b": 2}', "Missing a comma or } after an object member. at offset: 8"),
    (b'{"a": [{"b": "]"}, 2 3]}', "Missing a comma or ] after an array element. at offset: 21"),
    (b'{"a": [1, 2', "Missing a comma or ] after an array element. at offset: 11"),
    (b"{} {}", "The document root must not be followed by other values. at offset: 3"),
    (b'{"a": "b', "Missing a closing quotation mark in string. at offset: 6"),
    (b'{"a": "\x01"}', "Invalid encoding in string. at offset: 7"),
    (b'{"a": "\xff"}', "Invalid encoding in string. at offset: 7"),
    (b'{"a": "\\x"}', "Invalid escape character in string. at offset: 7"),
    (b'{"a": "\\u12g4"}', "Incorrect hex digit after \\u escape in string. at offset: 7"),
    (b'{"a": "\\ud800"}', "The surrogate pair in string is invalid. at offset: 7"),
    (b'{"a": "\\\\ud800 \\ud83d\\ude00 \\udc00"}', "The surrogate pair in string is invalid. at offset: 28"),
    (b'{"a": NaN, "b": "\\ud800\\n"}', "The surrogate pair in string is invalid. at offset: 17"),
    (b'{"a": 1.}', "Miss fraction part in number. at offset: 7"),
    (b'{"a": 1e}', "Miss exponent in number. at offset: 7"),
    (b'{"a": 1e999}', "Number too big to be stored in double. at offset: 6"),
    (b'{"a": [NaN, -1e999]}', "Number too big to be stored in double. at offset: 12"),
    (b'{"a": %b}' % (b"9" * 5000), "Number too big to be stored in double. at offset: 6"),
    (b'{"\xc3\xa9": Inf, "b": Inf, x}', "Missing a name for object member. at offset: 22"),
])
def test_fault_in_the_text_is_told_with_its_place(body: bytes, words: str) -> None:
    assert _fault(body) == f"JSON Parse error: {words}"


@pytest.mark.parametrize("depth", [1100, 200_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    assert _fault(b'{"a": %b%b}' % (b"[" * depth, b"]" * depth)).startswith("JSON Parse error: ")
    assert _fault(b'{"a":' * depth + b"1" + b"}" * depth).startswith("JSON Parse error: ")


def test_many_quotation_marks_in_a_string_without_end_take_no_longer_than_other_text() -> None:
    # Were each of them looked at as the begin of a string, this would take hours.
    assert _fault(b'{"a": "' + b'\\"' * 1_000_000) == (
        "JSON Parse error: Missing a closing quotation mark in string. at offset: 6")


@pytest.mark.parametrize(("body", "text"), [
    (b"[1, 2]", "[\n    1,\n    2\n]"), (b'"a"', '"a"'), (b"1.5", "1.5"), (b"2.0", "2.0"), (b"1e39", "1e+39"),
    (b"null", "null"), (b"NaN", "NaN")])
def test_value_that_is_no_object_is_quoted(body: bytes, text: str) -> None:
    assert _fault(body) == f"JSON Value: {text} Is not object"


def test_long_values_are_cut_in_messages() -> None:
    message = _fault(json.dumps(["x" * 50] * 100_000).encode())
    assert len(message) < 600
    assert message.startswith('JSON Value: [\n    "xxx')


def test_deep_value_is_cut_in_messages() -> None:
    assert json_text(json.loads("[" * 900 + "]" * 900)).startswith("[\n    [\n        [")


@pytest.mark.parametrize(("value", "name"), [
    (None, "Null"), (True, "True"), (False, "False"), ({}, "Object"), ([], "Array"), ("", "String"), (1, "Number"),
    (1.0, "Number")])
def test_kinds_of_values_have_the_names_of_the_protocol(value: object, name: str) -> None:
    assert json_type_name(value) == name
