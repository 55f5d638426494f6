"""Imported once by the process from which all trials are forked, so that none of them has to import TensorFlow.

No device is looked for and no TensorFlow context is made here: neither survives a fork.
"""

import gc
import sys

from expman.records.provenance import installed_packages
from expman.runtimes.tensorflow_notices import hidden_notices, import_tensorflow
from expman.settings.user_traceback import is_user_file

import_tensorflow()
with hidden_notices():
    import tensorboard.summary  # noqa: F401  tf.summary imports it with the first scalar

    import expman.experiment_run
    import expman.records.data_record
    import expman.training.estimator  # noqa: F401
    from expman.internals.tensorflow_internals import register_kernels
installed_packages()  # remembers them
for module in list(sys.modules.values()):
    is_user_file(getattr(module, "__file__", None) or "")  # remembers their folders
gc.collect()
gc.freeze()  # the garbage collector of a trial leaves alone what all trials share

register_kernels()  # which TensorFlow would do in each trial; last, since it makes what is frozen above no larger
