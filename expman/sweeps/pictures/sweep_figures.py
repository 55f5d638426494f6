"""The figures of a sweep, each as a `matplotlib` figure that belongs to no window and to no global state."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.transforms import blended_transform_factory

from expman.sweeps.pictures.hparam_importance import LEAST_TRIALS, hparam_importance
from expman.sweeps.pictures.trial_row import TrialRow
from expman.sweeps.pictures.value_scale import ValueScale, shortened

_FINISHED, _PRUNED, _FAILED, _BEST = "#1f6fb4", "#7f7f7f", "#d62728", "#e07b00"
_GRID: dict[str, Any] = {"color": "#dddddd", "linewidth": 0.6}
_ABSENT = -0.1  # where a line passes the axis of an hparam that its trial does not have
_MOST_IN_MATRIX = 7
_SPREAD = {"x": 0.7548777, "y": 0.5698403}  # multiples of these, without their whole part, fill a square evenly


class SweepData:
    """The trials of a sweep in the order of their numbers, with what the figures ask of them.

    Arguments:
        trials: all of them; those that still run or wait are left out.
        metric: name of the metric.
        mode: 'min' or 'max'.
    """

    def __init__(self, trials: Sequence[TrialRow], *, metric: str, mode: str) -> None:
        self.metric = metric
        self.mode = mode
        self.sign = 1 if mode == "min" else -1
        ordered = sorted(trials, key=lambda trial: trial.number)
        self.measured = [trial for trial in ordered if trial.has_value]
        self.failed = [trial for trial in ordered if trial.status in ("finished", "pruned", "failed") and not trial.has_value]

    @cached_property
    def varied(self) -> list[str]:
        """The hparams that differ between trials."""
        ended = [*self.measured, *self.failed]
        names = dict.fromkeys(name for trial in ended for name in trial.hparams)
        return [name for name in names if len({repr(trial.hparams.get(name, ...)) for trial in ended}) > 1]

    @cached_property
    def best(self) -> TrialRow:
        """The trial of the best value."""
        return min(self.measured, key=lambda trial: self.sign * trial.value)

    @cached_property
    def value_scale(self) -> ValueScale:
        """The scale of the metric."""
        return ValueScale.of([trial.value for trial in self.measured])

    def hparam_scale(self, name: str) -> ValueScale:
        """Returns the scale of a hyperparameter."""
        return ValueScale.of([trial.hparams[name] for trial in [*self.measured, *self.failed] if name in trial.hparams])

    def from_worst_to_best(self) -> list[TrialRow]:
        """For drawing: later ones lie on top."""
        return sorted(self.measured, key=lambda trial: -self.sign * trial.value)

    def colour(self, trial: TrialRow) -> tuple[float, ...]:
        """Dark blue for the best value, yellow for the worst."""
        return self.colour_map(self.value_scale.fraction(trial.value))

    @property
    def colour_map(self) -> Any:
        """Matplotlib's colours, the better the darker."""
        return matplotlib.colormaps["viridis" if self.mode == "min" else "viridis_r"]

    @property
    def direction(self) -> str:
        """Which values are best, in words."""
        return f"{'small' if self.mode == 'min' else 'large'} is best"


def history_figure(data: SweepData) -> Figure:
    """The value of each trial by its number, and the best so far as a line."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    _draw_trials(axes, data, [(trial.number, trial) for trial in data.measured],
                 [(trial.number, trial) for trial in data.failed])
    numbers, best_so_far = [], []
    for trial in data.measured:
        if not best_so_far or data.sign * trial.value < data.sign * best_so_far[-1]:
            numbers.append(trial.number)
            best_so_far.append(trial.value)
    last = max(trial.number for trial in [*data.measured, *data.failed])
    axes.step([*numbers, last], [data.value_scale.fraction(value) for value in [*best_so_far, best_so_far[-1]]],
              where="post", color=_BEST, linewidth=1.6, zorder=2)
    axes.set_xlim(1 - 0.02 * last - 0.3, last * 1.02 + 0.3)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("trial", fontsize=9.5)
    axes.set_ylabel(shortened(data.metric, 40), fontsize=9.5)
    _add_legend(figure, data, with_line=True)
    best = f"best {shortened(data.metric, 24)} {data.best.value:.4g} in trial {data.best.number}"
    _add_title(figure, f"{_counted(data)}; {best} ({data.direction})")
    return figure


def hparams_figure(data: SweepData) -> Figure:
    """Each hparam that varies against the metric."""
    num_columns = min(3, len(data.varied))
    num_rows = -(-len(data.varied) // num_columns)
    figure = Figure(figsize=(max(3.4 * num_columns, 7), 2.9 * num_rows + 0.8), layout="constrained")
    panels = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for index, (name, axes) in enumerate(zip(data.varied, panels)):
        scale = data.hparam_scale(name)
        having = {kind: [(_spread(scale, trial, name), trial) for trial in trials if name in trial.hparams]
                  for kind, trials in (("measured", data.measured), ("failed", data.failed))}
        _draw_trials(axes, data, having["measured"], having["failed"])
        scale.apply(axes.xaxis, most_ticks=5, longest_text=10)
        if sum(min(len(str(value)), 10) + 2 for value in scale.categories) > 38:
            axes.tick_params(axis="x", rotation=90)
        axes.set_xlabel(shortened(name, 34), fontsize=9.5)
        axes.set_ylabel(shortened(data.metric, 24) if index % num_columns == 0 else "", fontsize=9.5)
    for axes in panels[len(data.varied):]:
        axes.set_visible(False)
    _add_legend(figure, data, with_line=False)
    _add_title(figure, f"{shortened(data.metric, 24)} by hparam ({data.direction}); {_counted(data)}")
    return figure


def parallel_coordinates_figure(data: SweepData) -> Figure:
    """A line a trial through the values of its hparams to its value; the best lie on top."""
    scales = {name: data.hparam_scale(name) for name in data.varied} | {"": data.value_scale}
    figure = Figure(figsize=(max(6.5, 1.6 * len(scales) + 1.2), 4.8), layout="constrained")
    axes = figure.add_subplot()
    many = len(data.measured) > 60
    for trial in data.from_worst_to_best():
        heights = [_spread(scale, trial, name, width=0.12) if not name or name in trial.hparams else _ABSENT
                   for name, scale in scales.items()]
        is_best = trial is data.best
        axes.plot(range(len(scales)), heights, color=data.colour(trial), linewidth=2.6 if is_best else 0.8 if many else 1.3,
                  alpha=1 if is_best else 0.6 if many else 0.8, linestyle="--" if trial.status == "pruned" else "-")
    for place, (name, scale) in enumerate(scales.items()):
        lacks_some = bool(name) and any(name not in trial.hparams for trial in data.measured)
        _draw_parallel_axis(axes, place, scale, title=name or data.metric, is_metric=not name, lacks_some=lacks_some)
    axes.set(xlim=(-0.35, len(scales) - 0.5), ylim=(_ABSENT - 0.06, 1.16))
    axes.axis("off")
    left_out = f"; {len(data.failed)} failed not drawn" if data.failed else ""
    dashed = "; dashed: pruned" if any(trial.status == "pruned" for trial in data.measured) else ""
    _add_title(figure, f"{len(data.measured)} trials; the thick line is the best, trial {data.best.number}{dashed}{left_out}")
    return figure


def scatter_matrix_figure(data: SweepData) -> Figure:
    """Each two hparams against each other, coloured by the metric, which is the last row."""
    names = data.varied[:_MOST_IN_MATRIX]
    scales = {name: data.hparam_scale(name) for name in names}
    size = len(names)
    figure = Figure(figsize=(max(1.9 * size + 1.2, 5), max(1.7 * size + 1, 4)), layout="constrained")
    grid = figure.add_gridspec(size, size)
    for column, row in itertools.combinations_with_replacement(range(size), 2):
        axes = figure.add_subplot(grid[row, column])
        across, up = names[column], names[row + 1] if row + 1 < size else ""
        _draw_pairs(axes, data, across=across, across_scale=scales[across], up=up, up_scale=scales.get(up, data.value_scale))
        axes.set_xlabel(shortened(across, 18) if row == size - 1 else "", fontsize=9)
        axes.set_ylabel(shortened(up or data.metric, 18) if column == 0 else "", fontsize=9)
        axes.tick_params(labelsize=8, labelbottom=row == size - 1, labelleft=column == 0)
        axes.tick_params(axis="x", rotation=90 if scales[across].categories else 45)
    figure.align_labels()
    _add_colour_bar(figure, data, free_corner=grid[0, -1] if size > 1 else None)
    omitted = f"; the first {size} of {len(data.varied)} hparams" if size < len(data.varied) else ""
    _add_title(figure, f"{_counted(data)}{omitted}")
    return figure


def importance_figure(data: SweepData) -> Figure:
    """Draws how much each hparam matters, or why that cannot be told yet."""
    if len(data.measured) < LEAST_TRIALS:
        figure = Figure(figsize=(7, 1.6), layout="constrained")
        figure.text(0.5, 0.5, f"The importance of hparams needs at least {LEAST_TRIALS} trials with a value.\n"
                    f"There are {len(data.measured)}.", ha="center", va="center", fontsize=10)
        return figure
    importance = hparam_importance(data.measured, data.varied)
    names = sorted(data.varied, key=lambda name: importance.means[name])
    figure = Figure(figsize=(7, 0.42 * len(names) + 1.5), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([shortened(name, 28) for name in names], [importance.means[name] for name in names], height=0.6,
              xerr=[importance.deviations[name] for name in names], color=_FINISHED, ecolor="#444444", capsize=3)
    axes.set_xlabel("fall of R² when the hparam is shuffled between trials")
    axes.grid(axis="x", **_GRID)
    axes.set_axisbelow(True)
    axes.margins(y=0.04)
    _add_title(figure, f"importance for {shortened(data.metric, 24)}, by a random forest on {len(data.measured)} trials\n"
               f"(R² for trials that a tree has not seen: {importance.out_of_bag_r2:.2f}; near 0 the bars say nothing)")
    return figure


def _draw_trials(axes: Axes, data: SweepData, measured: Sequence[tuple[float, TrialRow]],
                 failed: Sequence[tuple[float, TrialRow]]) -> None:
    """Dots for (x, trial) by value; failed trials lie at the edge of bad values."""
    size = 14 if len(data.measured) > 60 else 26
    for status, face in (("finished", _FINISHED), ("pruned", "none")):
        dots = [(x, data.value_scale.fraction(trial.value)) for x, trial in measured if trial.status == status]
        if dots:
            axes.scatter(*zip(*dots), s=size, facecolor=face, edgecolor=_FINISHED if status == "finished" else _PRUNED,
                         linewidth=0.9, alpha=0.75, zorder=3)
    best = [(x, data.value_scale.fraction(trial.value)) for x, trial in measured if trial is data.best]
    if best:
        axes.scatter(*zip(*best), s=130, marker="*", color=_BEST, edgecolor="white", linewidth=0.7, zorder=4)
    if failed:
        edge = 0.97 if data.mode == "min" else 0.03
        axes.scatter([x for x, _ in failed], [edge] * len(failed), s=size + 6, marker="x", color=_FAILED, linewidth=1.2,
                     transform=blended_transform_factory(axes.transData, axes.transAxes), zorder=3)
    data.value_scale.apply(axes.yaxis, most_ticks=7)
    axes.grid(axis="y", **_GRID)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5)


def _draw_parallel_axis(axes: Axes, place: float, scale: ValueScale, *, title: str, is_metric: bool, lacks_some: bool) -> None:
    style = {"color": "#444444", "linewidth": 0.9, "zorder": 3}
    ticks = scale.ticks(6, longest_text=12) + ([(_ABSENT, "none")] if lacks_some else [])
    axes.plot([place, place], [-0.06, 1.06], **style)
    for height, text in ticks:
        axes.plot([place - 0.02, place + 0.02], [height, height], **style)
        axes.text(place + 0.04, height, text, fontsize=8.5, ha="left", va="center", zorder=4,
                  bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8})
    axes.text(place, 1.08, shortened(title, 20), fontsize=9.5, ha="center", va="bottom",
              weight="bold" if is_metric else "normal")


def _draw_pairs(axes: Axes, data: SweepData, *, across: str, across_scale: ValueScale, up: str, up_scale: ValueScale) -> None:
    """Dots of trials by two hparams, or by one and the value when `up` is ''."""
    def place(trial: TrialRow) -> tuple[float, float]:
        return _spread(across_scale, trial, across), _spread(up_scale, trial, up, axis="y")

    def has_both(trial: TrialRow) -> bool:
        return across in trial.hparams and (up in trial.hparams or (not up and trial.has_value))

    drawn = [trial for trial in data.from_worst_to_best() if has_both(trial)]
    if drawn:
        axes.scatter(*zip(*map(place, drawn)), s=9 if len(drawn) > 60 else 20, c=[data.colour(trial) for trial in drawn],
                     edgecolor="#555555", linewidth=0.3)
    failed = [place(trial) for trial in data.failed if has_both(trial)]
    if failed:
        axes.scatter(*zip(*failed), s=16, marker="x", color=_FAILED, linewidth=1)
    across_scale.apply(axes.xaxis, most_ticks=4, longest_text=8)
    up_scale.apply(axes.yaxis, most_ticks=4, longest_text=8)


def _spread(scale: ValueScale, trial: TrialRow, name: str, *, axis: str = "x", width: float = 0.5) -> float:
    """Where a trial lies on the scale of an hparam, or of the value for ''; those of one category lie side by side."""
    side = trial.number * _SPREAD[axis] % 1 - 0.5
    return scale.fraction(trial.hparams[name] if name else trial.value) + width * scale.spacing * side


def _add_colour_bar(figure: Figure, data: SweepData, *, free_corner: SubplotSpec | None) -> None:
    """Shows the colours of values: in the free corner of a matrix, else beside its only cell."""
    mappable = ScalarMappable(cmap=data.colour_map)
    mappable.set_clim(0, 1)
    if free_corner:
        corner = figure.add_subplot(free_corner)
        corner.axis("off")
        bar = figure.colorbar(mappable, cax=corner.inset_axes([0.25, 0.05, 0.12, 0.9]))
    else:
        bar = figure.colorbar(mappable, ax=figure.axes[0])
    ticks = data.value_scale.ticks(5)
    bar.set_ticks([fraction for fraction, _ in ticks], labels=[text for _, text in ticks])
    bar.ax.tick_params(labelsize=8)
    bar.set_label(shortened(data.metric, 18), fontsize=9)


def _add_legend(figure: Figure, data: SweepData, *, with_line: bool) -> None:
    def dots(marker: str, label: str, **style: Any) -> Line2D:
        return Line2D([], [], linestyle="none", marker=marker, label=label, **style)

    statuses = {trial.status for trial in data.measured}
    entries = [dots("o", "finished", color=_FINISHED)] if "finished" in statuses else []
    entries += [dots("o", "pruned", color=_PRUNED, markerfacecolor="none")] if "pruned" in statuses else []
    entries += [dots("x", "failed", color=_FAILED)] if data.failed else []
    entries += [dots("*", "best", color=_BEST, markersize=11)]
    entries += [Line2D([], [], color=_BEST, label="best so far")] if with_line else []
    figure.legend(handles=entries, loc="outside lower center", ncols=len(entries), frameon=False, fontsize=9)


def _add_title(figure: Figure, text: str) -> None:
    figure.suptitle(text, fontsize=10, x=0.01, ha="left")


def _counted(data: SweepData) -> str:
    num_pruned = sum(trial.status == "pruned" for trial in data.measured)
    parts = [f"{len(data.measured) + len(data.failed)} trials"]
    parts += [f"{num_pruned} pruned"] if num_pruned else []
    parts += [f"{len(data.failed)} failed"] if data.failed else []
    return ", ".join(parts)
