// The curves of one quantity over the epochs.

const COMPARED_LINES = 6;

class CurveChart extends LineChart {
    static of(element) {
        const data = JSON.parse(element.querySelector("script").textContent);
        const chart = new CurveChart(element, linesOf(data), {isLog: data.is_log});
        chart.title = element.dataset.title;
        return chart;
    }

    build() {
        super.build();
        this.plot.xaxis.axis_label = "epoch";
        this.plot.xaxis.ticker = new Bokeh.BasicTicker({min_interval: 1, num_minor_ticks: 0});
        this.takeYAxis();
        if (this.element.dataset.bestEpoch) {
            this.bestEpoch = new Bokeh.Span({location: Number(this.element.dataset.bestEpoch), dimension: "height",
                                             line_dash: [5, 4], line_width: 1.2, level: "underlay"});
            this.plot.add_layout(this.bestEpoch);
        }
        const button = this.element.querySelector(".log");
        button.setAttribute("aria-pressed", this.isLog);
        button.disabled = !this.lines.some(line => line.ys.some(value => value > 0));
        button.addEventListener("click", () => {
            this.isLog = !this.isLog;
            button.setAttribute("aria-pressed", this.isLog);
            this.changeScale();
        });
    }

    paint() {
        super.paint();
        this.bestEpoch?.setv({line_color: cssColour("--soft")});
    }

    takeYAxis() {
        const ticker = this.isLog ? new Bokeh.LogTicker({desired_num_ticks: 5, num_minor_ticks: 0})
            : new Bokeh.BasicTicker({desired_num_ticks: 5, num_minor_ticks: 0});
        const axis = this.plot.left[0];
        axis.setv({ticker, formatter: new Bokeh.CustomJSTickFormatter({code: "return expmanNumberText(tick)"})});
        for (const item of this.plot.center)
            if (item instanceof Bokeh.Grid && item.dimension === 1)
                item.setv({axis, ticker});
    }

    changeScale() {
        this.plot.y_scale = this.isLog ? new Bokeh.LogScale() : new Bokeh.LinearScale();
        this.plot.left = [this.isLog ? new Bokeh.LogAxis() : new Bokeh.LinearAxis()];
        this.takeYAxis();
        this.home = this.ranges();
        this.reset();
        this.paint();
    }

    ranges() {
        let [lowest, highest, first, last] = [Infinity, -Infinity, 1, 1];
        for (const {xs, ys} of this.lines) {
            first = Math.min(first, xs[0]);
            last = Math.max(last, xs[xs.length - 1]);
            for (const value of ys)
                if (Number.isFinite(value) && (!this.isLog || value > 0)) {
                    lowest = Math.min(lowest, value);
                    highest = Math.max(highest, value);
                }
        }
        if (!(lowest <= highest))
            [lowest, highest] = this.isLog ? [0.1, 1] : [0, 1];
        const beside = Math.max((last - 1) * 0.02, 0.5);
        const x = {start: first - beside, end: last + beside};
        if (this.isLog) {
            const margin = Math.max((highest / lowest) ** 0.05, 1.02);
            return {x, y: {start: lowest / margin, end: highest * margin}};
        }
        const margin = (highest - lowest) * 0.05 || Math.abs(highest) * 0.05 || 1;
        return {x, y: {start: lowest - margin, end: highest + margin}};
    }

    /** With few lines all of them are read at the epoch that is pointed at. */
    pointsOf(pick) {
        const x = pick.line.xs[pick.index];
        const shown = this.lines.filter(line => selection.isShown(line.row));
        return shown.length > COMPARED_LINES ? [pick] : shown.map(line => ({line, index: line.xs.indexOf(x)}))
            .filter(point => point.index >= 0);
    }

    description(pick) {
        const {line, index} = pick;
        const points = this.pointsOf(pick);
        const epoch = `epoch ${Number(line.xs[index].toPrecision(6))}`;  // a 32-bit float within epochs
        if (points.length > 1 || line.label !== "") {
            const name = ({row, label}) => label || experimentOf(row).label;
            points.sort((one, other) => other.line.ys[other.index] - one.line.ys[one.index]);
            return [tooltipHead(epoch), ...points.map(point => tooltipLine(
                name(point.line), numberText(point.line.ys[point.index]), this.colour(point.line)))];
        }
        const experiment = experimentOf(line.row);
        const hparams = Object.entries(experiment.texts).filter(([name, text]) => name.startsWith("hparams.") && text);
        return [tooltipHead(experiment.label, this.colour(line)),
                tooltipLine(`${this.title}, ${epoch}`, numberText(line.ys[index])),
                ...hparams.map(([name, text]) => tooltipLine(name.slice("hparams.".length), text))];
    }
}

/** The lines of a chart's data: 32-bit numbers in base64, one line after the other. */
function linesOf({rows, labels, counts, values, epochs}) {
    const all = new Float32Array(bytesOf(values));
    const given = epochs && new Float32Array(bytesOf(epochs));
    const gapless = Float32Array.from({length: Math.max(0, ...counts)}, (_, index) => index + 1);
    let start = 0;
    return rows.map((row, index) => {
        const end = start + counts[index];
        const xs = given ? given.subarray(start, end) : gapless.subarray(0, counts[index]);
        const line = {row, label: labels[index], shade: experimentOf(row)?.shade ?? null, xs, ys: all.subarray(start, end)};
        start = end;
        return line;
    });
}

function bytesOf(text) {
    return Uint8Array.from(atob(text), character => character.charCodeAt(0)).buffer;
}

globalThis.expmanNumberText = numberText;  // Bokeh's formatter runs outside of this script
