"""Imported once by the process from which all trials are forked, so that none of them has to import TensorFlow.

No device is looked for and no TensorFlow context is made here: neither survives a fork.
"""

from expman.tensorflow_notices import hidden_notices, import_tensorflow

import_tensorflow()
with hidden_notices():
    import expman.training.estimator  # noqa: F401
