#!/bin/sh
# Installs what the embedded server imports into the Python on PATH: sh install_serving.sh REQUIREMENTS_FILE
set -eu

python -m pip install --no-cache-dir --no-deps --requirement "$1"

# The server uses TensorFlow's C library and its generated message types. The rest of the wheel, which takes 450 MB, is for
# Python programs that import TensorFlow and for compiling operations.
cd "$(python -c 'import importlib.util; print(*importlib.util.find_spec("tensorflow").submodule_search_locations)')"
rm -r _api include lite python
