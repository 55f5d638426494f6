"""The names of an experiment's baselines, where they are told and in reports."""

BASELINE_NAMES = {"constant": "constant answer (mean or majority)", "linear": "linear model (linear or logistic regression)"}
