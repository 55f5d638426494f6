"""Sweep over the handwritten digits: size of the network, dropout and learning rate; trials that fall behind end early.

Method: tree-structured Parzen estimator of hyperopt, J. Bergstra et al., Algorithms for Hyper-Parameter Optimization, 2011;
        asynchronous successive halving, L. Li et al., A System for Massively Parallel Hyperparameter Tuning, 2020.
Command: python experiments_manager.py --sweep examples/hyperopt/mysweep_digits.py
         the same command goes on after an interruption
Time: 20 trials, each of which takes at most as long as a run of ../classification/mysettings_digits.py; after 3, 9 and 27
      epochs only the best third goes on.
Result: accuracy 0.98 or better on the held-out fifth, as the settings file has it without a sweep.
"""

import math

from hyperopt import hp

experiment_settings_file = "../classification/mysettings_digits.py"
space = {
    "filters": hp.choice("filters", [8, 16, 32, 64]),
    "dropout": hp.uniform("dropout", 0.0, 0.6),
    "learningRate": hp.loguniform("learningRate", math.log(3e-4), math.log(3e-2)),
}
max_trials = 20
metric = "accuracy"
mode = "max"
pruning = "asha"
pruning_grace_epochs = 3
pruning_reduction_factor = 3
points_to_evaluate = [{"filters": 2, "dropout": 0.3, "learningRate": 0.002}]  # as the settings file has them
