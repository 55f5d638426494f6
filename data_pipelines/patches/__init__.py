"""Patches of images and of volumes with label maps."""
