"""Sends experiments to an MLflow server: what it lacks of those that were mirrored, or all of those that were not.

    python -m expman.tracking FOLDER … [--tracking_uri URI]

FOLDER is an experiment, a sweep, or any folder with experiments below it. Without URI each goes where its own `tracking_uri`
says, or else MLFLOW_TRACKING_URI.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from expman.errors import ExperimentError, TrackingError
from expman.records.experiment_folder import ExperimentFolder
from expman.reports.experiment_search import find_experiments
from expman.tracking.mlflow_mirror import MlflowMirror
from expman.tracking.run_content import RunContent
from expman.tracking.tracking_server import TrackingServer


def main(arguments: Sequence[str] | None = None) -> int:
    """Mirrors the experiments of some folders; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m expman.tracking", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", metavar="FOLDER")
    parser.add_argument("--tracking_uri", default="", help="the server, instead of the experiments' own")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    num_failed = 0
    try:
        for path in find_experiments(options.folders):
            num_failed += not _send(ExperimentFolder(path), tracking_uri=options.tracking_uri)
    except ExperimentError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 1 if num_failed else 0


def _send(folder: ExperimentFolder, *, tracking_uri: str) -> bool:
    """Sends one experiment; returns whether that went well. One that cannot be read does not keep back the others.

    Raises:
        TrackingError: no server is named, or it does not answer.
    """
    try:
        settings = folder.read_identity()["settings"]
        server = TrackingServer(tracking_uri or settings.get("tracking_uri", ""))
        if not server.is_named:
            raise TrackingError(f"{folder.path} names no MLflow server. Add --tracking_uri, or set MLFLOW_TRACKING_URI.")
        server.check(experiment_name=RunContent(folder).experiment_name)
        MlflowMirror(folder, server=server).sync(is_over=not folder.is_being_trained())
    except TrackingError:
        raise
    except Exception as error:  # a boundary: the next experiment may be sound
        logging.getLogger(__name__).error("%s was not sent: %s: %s", folder.path, type(error).__name__, error)
        return False
    print(f"sent {folder.path}")
    return True


if __name__ == "__main__":
    sys.exit(main())
