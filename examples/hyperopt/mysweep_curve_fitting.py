"""Sweep over curve fitting: which network and learning rate fit y = x² best.

Method: tree-structured Parzen estimator of hyperopt, J. Bergstra et al., Algorithms for Hyper-Parameter Optimization, 2011.
Command: python experiments_manager.py --sweep examples/hyperopt/mysweep_curve_fitting.py
         the same command goes on after an interruption
Time: 100 trials, each of which takes as long as a run of ../regression/mysettings_curve_fitting.py, one after the other.
Result: root mean squared error close to 0.1, the standard deviation of the noise, below which no model can come but by chance.
"""

import math

from hyperopt import hp

experiment_settings_file = "../regression/mysettings_curve_fitting.py"
space = {
    "hiddenNeurons": hp.uniformint("hiddenNeurons", 2, 64),
    "hiddenLayers": hp.uniformint("hiddenLayers", 1, 3),
    "learningRate": hp.loguniform("learningRate", math.log(1e-4), math.log(1e-1)),
}
max_trials = 100
metric = "rmse"
mode = "min"
points_to_evaluate = [{"hiddenNeurons": 32, "hiddenLayers": 2, "learningRate": 0.01}]  # as the settings file has them
