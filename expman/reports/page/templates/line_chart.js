// A chart of many lines on Bokeh: colours, emphasis on some lines, a pointer that finds the nearest line, zoom.

const NEAREST_PIXELS = 40;
const MANY_LINES = 40;
const KEY_STEPS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1]};

class LineChart {
    /**
     * element: the figure, with an element of class `plot` for the drawing.
     * lines: [{row, label, shade, xs, ys}], xs ascending; a line without a row of the table has its own label.
     * isLog: whether the y axis has logarithms.
     */
    constructor(element, lines, {isLog = false} = {}) {
        this.element = element;
        this.place = element.querySelector(".plot");
        // The best are drawn last, on top of the others.
        this.lines = [...lines].sort((one, other) => (other.shade ?? 2) - (one.shade ?? 2));
        this.isLog = isLog;
        this.isOnScreen = true;
        this.picked = null;
    }

    async show() {
        this.build();
        this.paint();
        this.refresh();
        const view = await Bokeh.Plotting.show(this.plot, this.place);
        view.canvas_view.events_el.removeAttribute("tabindex");  // the keyboard stops once a chart, at `plot`
        selection.listeners.push(() => this.refresh());
        darkScheme.addEventListener("change", () => { this.paint(); this.refresh(true); });
        this.listen();
        this.element.dataset.drawn = "";
    }

    build() {
        this.home = this.ranges();
        this.plot = Bokeh.Plotting.figure({
            x_range: new Bokeh.Range1d({...this.home.x}), y_range: new Bokeh.Range1d({...this.home.y}),
            y_axis_type: this.isLog ? "log" : "linear", height: Number(this.element.dataset.height),
            sizing_mode: "stretch_width", toolbar_location: null, tools: [], min_border_left: 56, min_border_right: 12,
            min_border_bottom: 30, min_border_top: 8, background_fill_color: null, border_fill_color: null,
            outline_line_color: null});
        this.source = new Bokeh.ColumnDataSource({data: this.columns(this.lines)});
        this.emphasis = new Bokeh.ColumnDataSource({data: this.columns([])});
        this.pointer = new Bokeh.ColumnDataSource({data: {x: [], y: [], color: []}});
        this.curves = this.plot.multi_line({field: "xs"}, {field: "ys"}, {
            source: this.source, line_color: {field: "color"}, line_width: this.lines.length > MANY_LINES ? 1 : 1.6,
            line_join: "round"});
        this.view = new Bokeh.CDSView({filter: new Bokeh.AllIndices()});
        this.curves.view = this.view;
        this.plot.multi_line({field: "xs"}, {field: "ys"}, {
            source: this.emphasis, line_color: {field: "color"}, line_width: 2.6, line_join: "round"});
        this.plot.scatter({field: "x"}, {field: "y"}, {
            source: this.pointer, size: 8, fill_color: {field: "color"}, line_color: null});
        this.addTools();
    }

    addTools() {
        this.boxZoom = new Bokeh.BoxZoomTool();
        this.pan = new Bokeh.PanTool();
        this.wheelZoom = new Bokeh.WheelZoomTool();
        this.plot.add_tools(this.boxZoom, this.pan, this.wheelZoom);
        const isTouched = matchMedia("(pointer: coarse)").matches;
        // A finger scrolls the page, and so does the wheel, until the user has turned to the chart.
        this.plot.toolbar.setv({active_drag: isTouched ? null : this.dragTool(), active_scroll: null, active_inspect: null});
    }

    dragTool() {
        return this.boxZoom;
    }

    columns(lines) {
        return {xs: lines.map(line => line.xs), ys: lines.map(line => line.ys), color: lines.map(line => this.colour(line))};
    }

    colour(line) {
        return line.label === "" ? selection.colourOf(line.row, line.shade) : seriesColour(line.row);
    }

    /** Takes the colours of the present scheme. */
    paint() {
        const [soft, grid, font] = [cssColour("--soft"), cssColour("--grid"), cssColour("--font")];
        for (const axis of [...this.plot.left, ...this.plot.below])
            axis.setv({axis_line_color: grid, major_tick_line_color: grid, minor_tick_line_color: null,
                       major_label_text_color: soft, axis_label_text_color: soft, major_label_text_font: font,
                       axis_label_text_font: font, major_label_text_font_size: "12px", axis_label_text_font_size: "12px",
                       axis_label_text_font_style: "normal", axis_label_standoff: 6});
        for (const item of this.plot.center)
            if (item instanceof Bokeh.Grid)
                item.setv({grid_line_color: grid, grid_line_alpha: 0.7});
    }

    /** Shows what the selection asks for; a chart that is not on the screen does so when it comes back. */
    refresh(isForced = false) {
        this.isStale = !this.isOnScreen && !isForced;
        if (this.isStale)
            return;
        const shown = this.lines.map((_, index) => index).filter(index => selection.isShown(this.lines[index].row));
        const key = shown.join();
        if (key !== this.shownKey) {
            this.shownKey = key;
            this.view.filter = shown.length === this.lines.length ? new Bokeh.AllIndices()
                : new Bokeh.IndexFilter({indices: shown});
        }
        const emphasised = this.lines.filter(line => line.label === "" && selection.isShown(line.row)
                                             && (selection.pinned.has(line.row) || selection.hovered === line.row));
        const colours = this.lines.map(line => this.colour(line));
        if (isForced || colours.join() !== this.source.data.color.join())
            this.source.data = {...this.source.data, color: colours};
        this.emphasis.data = this.columns(emphasised);
        const usual = this.lines.length > MANY_LINES ? 0.6 : 1;
        this.curves.glyph.line_alpha = {value: emphasised.length ? 0.22 : usual};
    }

    listen() {
        this.plot.on_event("mousemove", event => this.pointAt(event.x, event.y));
        this.plot.on_event("tap", event => this.pointAt(event.x, event.y));
        this.plot.on_event("mouseleave", () => this.leave());
        this.plot.on_event("doubletap", () => this.reset());
        this.place.addEventListener("keydown", event => this.onKey(event));
        this.place.addEventListener("focusin", () => { this.plot.toolbar.active_scroll = this.wheelZoom; });
        this.place.addEventListener("focusout", () => { this.plot.toolbar.active_scroll = null; this.leave(); });
        const resetButton = this.element.querySelector(".reset");
        resetButton?.addEventListener("click", () => this.reset());
        const isHome = () => ["start", "end"].every(end => this.plot.x_range[end] === this.home.x[end]
                                                   && this.plot.y_range[end] === this.home.y[end]);
        for (const range of [this.plot.x_range, this.plot.y_range])
            range.change.connect(() => { if (resetButton) resetButton.disabled = isHome(); });
        const touchButton = this.element.querySelector(".touch-zoom");
        touchButton?.addEventListener("click", () => {
            const isOn = touchButton.getAttribute("aria-pressed") !== "true";
            touchButton.setAttribute("aria-pressed", isOn);
            this.plot.toolbar.setv({active_drag: isOn ? this.pan : null, active_scroll: isOn ? this.wheelZoom : null});
        });
    }

    reset() {
        this.plot.x_range.setv({...this.home.x});
        this.plot.y_range.setv({...this.home.y});
    }

    pointAt(x, y) {
        const pick = this.nearest(x, y);
        if (pick)
            this.pick(pick);
        else
            this.leave();
    }

    /** The line nearest to a point, and its point nearest in x; null when none is near. */
    nearest(x, y) {
        const {x_range, y_range, inner_width, inner_height} = this.plot;
        if (x < x_range.start || x > x_range.end)
            return null;
        let best = null;
        for (const line of this.lines) {
            if (!selection.isShown(line.row))
                continue;
            const index = nearestIndex(line.xs, x);
            const at = Math.min(Math.max(x, line.xs[0]), line.xs[line.xs.length - 1]);
            const over = (at - x) / (x_range.end - x_range.start) * inner_width;
            const up = (this.height(valueAt(line, at)) - this.height(y))
                / (this.height(y_range.end) - this.height(y_range.start)) * inner_height;
            const distance = Math.hypot(over, up);
            if (distance <= NEAREST_PIXELS && (!best || distance <= best.distance))
                best = {line, index, distance};
        }
        return best;
    }

    height(value) {
        return this.isLog ? Math.log(value) : value;
    }

    pick(pick) {
        this.picked = pick;
        const points = this.pointsOf(pick).filter(({line, index}) => Number.isFinite(line.ys[index]));
        this.pointer.data = {
            x: points.map(({line, index}) => line.xs[index]), y: points.map(({line, index}) => line.ys[index]),
            color: points.map(({line}) => this.colour(line))};
        if (pick.line.label === "")
            selection.hover(pick.line.row);
        tooltip.show(this.description(pick), this.place, this.screenPlace(pick));
    }

    pointsOf(pick) {
        return [pick];
    }

    screenPlace({line, index}) {
        const {x_range, y_range, inner_width, inner_height} = this.plot;
        const across = (line.xs[index] - x_range.start) / (x_range.end - x_range.start);
        const up = (this.height(line.ys[index]) - this.height(y_range.start))
            / (this.height(y_range.end) - this.height(y_range.start));
        const left = this.place.clientWidth - inner_width - this.plot.min_border_right;
        return {x: left + across * inner_width, y: this.plot.min_border_top + (1 - up) * inner_height};
    }

    leave() {
        if (!this.picked)
            return;
        this.picked = null;
        this.pointer.data = {x: [], y: [], color: []};
        selection.hover(null);
        tooltip.hide();
    }

    /** Arrow keys go along a line and from line to line, Escape ends it. */
    onKey(event) {
        if (event.key === "Escape")
            this.leave();
        const step = KEY_STEPS[event.key];
        if (!step)
            return;
        event.preventDefault();
        const shown = this.lines.filter(line => selection.isShown(line.row));
        if (!shown.length)
            return;
        if (!this.picked || !shown.includes(this.picked.line)) {
            this.pick({line: shown[shown.length - 1], index: 0});
            return;
        }
        const {line, index} = this.picked;
        const x = line.xs[index];
        const here = other => other.ys[nearestIndex(other.xs, x)];
        const ordered = shown.sort((one, other) => here(one) - here(other));
        const next = ordered[Math.min(Math.max(ordered.indexOf(line) + step[1], 0), ordered.length - 1)];
        const moved = Math.min(Math.max(nearestIndex(next.xs, x) + step[0], 0), next.xs.length - 1);
        this.pick({line: next, index: moved});
    }
}

function nearestIndex(xs, x) {
    let [low, high] = [0, xs.length - 1];
    while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (xs[middle] <= x)
            low = middle;
        else
            high = middle;
    }
    return x - xs[low] <= xs[high] - x ? low : high;
}

/** The height of a line at x, between its points as it is drawn. */
function valueAt({xs, ys}, x) {
    const index = nearestIndex(xs, x);
    const other = x < xs[index] ? index - 1 : index + 1;
    if (x === xs[index] || other < 0 || other >= xs.length)
        return ys[index];
    return ys[index] + (ys[other] - ys[index]) * (x - xs[index]) / (xs[other] - xs[index]);
}
