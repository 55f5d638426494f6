"""The checks of a dry run, one a file; each is a function that takes the `DryRun` and returns a `Finding`."""
