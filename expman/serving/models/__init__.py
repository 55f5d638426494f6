"""Which models and versions are loaded: from configurations and folders to predictors that requests can hold."""
