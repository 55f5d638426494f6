"""Models and their versions: from configurations and folders to loaded predictors that requests can hold."""
