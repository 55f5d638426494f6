"""Imported once by the process from which all trials are forked, so that none of them has to import TensorFlow.

No device is looked for and no TensorFlow context is made here: neither survives a fork.
"""

import gc

from expman.provenance import installed_packages
from expman.tensorflow_notices import hidden_notices, import_tensorflow

import_tensorflow()
with hidden_notices():
    import expman.training.estimator  # noqa: F401
installed_packages()  # remembers them
gc.collect()
gc.freeze()  # the garbage collector of a trial leaves alone what all trials share
