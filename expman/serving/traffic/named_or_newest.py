"""TensorFlow Serving's own rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from expman.serving.traffic.traffic_rule import TrafficRequest, TrafficRule

if TYPE_CHECKING:
    from expman.serving.models.model_config import ModelConfig
    from expman.serving.models.served_version import ServedVersion
    from expman.serving.models.version_states import Routes


class NamedOrNewest(TrafficRule):
    """Chooses the version or the label that the request names, else the newest version that serves."""

    def choose(self, request: TrafficRequest, routes: Routes) -> ServedVersion | None:
        """Returns None when what is named does not serve, or nothing does."""
        if request.version is not None:
            return routes.by_number.get(request.version)
        if request.label is not None:
            return routes.by_label.get(request.label)
        return routes.newest


NAMED_OR_NEWEST = NamedOrNewest()


def named_or_newest(_: ModelConfig) -> TrafficRule:
    """Returns the rule of a model that is configured for no other."""
    return NAMED_OR_NEWEST
