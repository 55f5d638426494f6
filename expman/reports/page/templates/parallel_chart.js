// Parallel coordinates: an axis a hyperparameter, the metric at the right; dragging along an axis chooses experiments.

const AXIS_TOP = 1.06;

class ParallelChart extends LineChart {
    static of(element) {
        const axes = JSON.parse(element.querySelector("script").textContent);
        const rows = axes[0].positions.map((_, row) => row);
        const xs = Float32Array.from(axes, (_, index) => index);
        const chart = new ParallelChart(element, rows.map(row => ({
            row, label: "", shade: experimentOf(row).shade, xs, ys: Float32Array.from(axes, axis => axis.positions[row])})));
        chart.axes = axes;
        chart.chosen = new Map();  // index of an axis → [from, to]
        return chart;
    }

    build() {
        super.build();
        this.plot.setv({min_border_left: 8, min_border_bottom: 8});
        for (const axis of [...this.plot.left, ...this.plot.below])
            axis.visible = false;
        for (const item of this.plot.center)
            item.visible = false;
        this.rules = this.plot.segment(
            {field: "x"}, {value: 0}, {field: "x"}, {value: 1},
            {source: new Bokeh.ColumnDataSource({data: {x: this.axes.map((_, index) => index)}}), line_width: 1.5});
        const ticks = this.axes.flatMap((axis, x) => axis.ticks.map(([y, text]) => ({x, y, text: plainText(text)})));
        this.tickTexts = this.plot.text({field: "x"}, {field: "y"}, {field: "text"}, {
            source: columnsOf(ticks, ["x", "y", "text"]), x_offset: 6, text_baseline: "middle", text_font_size: "11.5px",
            background_fill_alpha: 0.8, border_radius: 3, padding: 2});
        const heads = this.axes.map((axis, index) => ({
            x: index, y: AXIS_TOP, text: plainText(axis.title) + (axis.scale === "logarithmic" ? " (log)" : ""),
            align: index === 0 ? "left" : index === this.axes.length - 1 ? "right" : "center"}));
        this.headTexts = this.plot.text({field: "x"}, {field: "y"}, {field: "text"}, {
            source: columnsOf(heads, ["x", "y", "text", "align"]), text_align: {field: "align"}, text_baseline: "bottom",
            text_font_size: "12.5px", text_font_style: "bold"});
        this.brushes = new Bokeh.ColumnDataSource({data: {x: [], bottom: [], top: []}});
        this.brushBars = this.plot.vbar({field: "x"}, {value: 0.022 * this.axes.length}, {field: "top"}, {field: "bottom"}, {
            source: this.brushes, fill_alpha: 0.25, line_width: 1.5});
    }

    ranges() {
        const last = this.lines[0].xs.length - 1;
        const hasMissing = this.lines.some(line => line.ys.some(value => value < 0));
        return {x: {start: -0.06 * last, end: last * 1.09}, y: {start: hasMissing ? -0.2 : -0.06, end: 1.2}};
    }

    dragTool() {
        return null;
    }

    paint() {
        super.paint();
        const [ink, soft, surface, accent] = ["--ink", "--soft", "--surface", "--accent"].map(cssColour);
        const font = cssColour("--font");
        this.rules.glyph.line_color = {value: soft};
        this.tickTexts.glyph.setv({
            text_color: {value: soft}, text_font: {value: font}, background_fill_color: {value: surface}});
        this.headTexts.glyph.setv({text_color: {value: ink}, text_font: {value: font}});
        this.brushBars.glyph.setv({fill_color: {value: accent}, line_color: {value: accent}});
    }

    listen() {
        super.listen();
        this.plot.on_event("panstart", event => this.startBrush(event));
        this.plot.on_event("pan", event => this.moveBrush(event));
        this.plot.on_event("panend", event => this.endBrush(event));
        this.element.querySelector(".clear").addEventListener("click", () => this.clearBrushes());
    }

    reset() {
        this.clearBrushes();
    }

    startBrush({x, y}) {
        const axis = Math.min(Math.max(Math.round(x), 0), this.axes.length - 1);
        this.brush = Math.abs(x - axis) < 0.35 ? {axis, from: y} : null;
        this.leave();
    }

    moveBrush({y}) {
        if (!this.brush)
            return;
        this.chosen.set(this.brush.axis, [Math.min(this.brush.from, y), Math.max(this.brush.from, y)]);
        this.takeBrushes();
    }

    endBrush() {
        this.brush = null;
    }

    clearBrushes() {
        this.chosen.clear();
        this.takeBrushes();
    }

    /** Draws the chosen ranges and shows only the experiments within all of them. */
    takeBrushes() {
        const ranges = [...this.chosen];
        this.brushes.data = {x: ranges.map(([axis]) => axis), bottom: ranges.map(([, [from]]) => from),
                             top: ranges.map(([, [, to]]) => to)};
        this.element.querySelector(".clear").disabled = !ranges.length;
        const isWithin = row => ranges.every(([axis, [from, to]]) => {
            const position = this.axes[axis].positions[row];
            return position >= from && position <= to;
        });
        selection.setCondition("parallel", ranges.length ? isWithin : null);
    }

    description({line}) {
        const experiment = experimentOf(line.row);
        return [tooltipHead(experiment.label, this.colour(line)),
                ...this.axes.map(axis => tooltipLine(axis.title, experiment.texts[axis.name] || "none"))];
    }
}

function columnsOf(items, names) {
    return new Bokeh.ColumnDataSource({data: Object.fromEntries(names.map(name => [name, items.map(item => item[name])]))});
}

/** Two dollar signs would begin a formula, for which Bokeh would load a script from the network. */
function plainText(text) {
    return text.replaceAll("$$", "$\u200b$").replaceAll("\\", "\\\u200b");
}
