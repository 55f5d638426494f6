"""Messages of TensorFlow's native errors lose the graph's insides and keep the user's line."""

from __future__ import annotations

import tensorflow as tf

from expman.training.op_errors import readable_message


def error(message: str) -> tf.errors.OpError:
    return tf.errors.InvalidArgumentError(None, None, message)


def test_names_of_nodes_and_the_stack_of_the_graph_are_left_out():
    message = readable_message(error(
        "Graph execution error:\n\nDetected at node model/dense/MatMul defined at (most recent call last):\n<stack traces "
        "unavailable>\n{{function_node __wrapped__MatMul}} Matrix size-incompatible: In[0]: [1,3], In[1]: [4,2]\n"
        "\t [[{{node model/dense/MatMul}}]] [Op:__inference_train_function_12]"))
    assert message == "Matrix size-incompatible: In[0]: [1,3], In[1]: [4,2]"


def test_of_python_that_tensorflow_called_the_users_last_line_is_named(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("raise ValueError\n")
    stack = f'Traceback (most recent call last):\n  File "{mine}", line 1, in make\n  File "{tf.__file__}", line 9, in call\n'
    assert readable_message(error(f"ValueError: mine\n{stack}")) == f"ValueError: mine ({mine}:1)"
    foreign = f'Traceback (most recent call last):\n  File "{tf.__file__}", line 9, in call\n'
    assert readable_message(error(f"ValueError: mine\n{foreign}")) == "ValueError: mine"


def test_a_message_of_insides_only_is_the_kind_of_the_error():
    assert readable_message(error("Graph execution error:\n\n")) == "InvalidArgumentError"


def test_a_message_of_many_lines_is_cut():
    assert len(readable_message(error("\n".join(f"line {number}" for number in range(50)))).splitlines()) == 12


def test_an_operation_without_a_deterministic_form_comes_with_its_remedy():
    told = readable_message(error("A deterministic GPU implementation of Foo is not currently available."))
    assert told.endswith("Set deterministic_ops = False, or use another operation.")
