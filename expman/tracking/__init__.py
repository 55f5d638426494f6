"""The mirror of experiments on an MLflow server, the only tracker: beside the training, from the plain files of their folders."""
