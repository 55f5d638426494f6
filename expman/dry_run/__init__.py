"""The dry run of `--check`: a list of patches to the experiment, and a list of checks that run on what they leave."""
