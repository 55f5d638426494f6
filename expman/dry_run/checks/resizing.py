"""Compares by which filters the pipeline and Client_IO resize images."""

from __future__ import annotations

from expman.dry_run.check import Finding
from expman.dry_run.dry_run import DryRun
from expman.dry_run.resize_record import CLIENT, PIPELINE, Filters

_REMEDY = ("Use one filter on both sides: DataProvider_input_pipeline.resize(image, size, filter=…), whose engines give the same "
           "picture, see docs/preprocessing.md.")


def check_resizing(run: DryRun) -> Finding:
    """Warns when one side uses a filter that the other does not: the model then answers for other pictures than it learned."""
    described = {side: _described(run, side) for side in (PIPELINE, CLIENT)}
    if not any(described.values()):
        return Finding("no image is resized")
    if not run.resizes.unmatched():
        resizing = [side for side, places in described.items() if places]
        return Finding(f"{' and '.join(resizing)} {'resize by the same filters' if len(resizing) > 1 else 'alone resizes'}")
    summary = "; ".join(f"{side} {_names(run, side) or 'does not resize'}" for side in described)
    return Finding(summary, (f"warning: {PIPELINE} resizes by {described[PIPELINE]}, {CLIENT} by {described[CLIENT]}: one file "
                             f"becomes two pictures, many grey levels apart. {_REMEDY}",))


def _described(run: DryRun, side: str) -> str:
    """The filters of a side, each with its place."""
    return ", ".join(f"{_name(filters)} ({place or run.settings.place_of(side)})"
                     for filters, place in run.resizes.places(side).items())


def _names(run: DryRun, side: str) -> str:
    return ", ".join(map(_name, run.resizes.places(side)))


def _name(filters: Filters) -> str:
    return " or ".join(sorted(filters))
