// Starts the page: tables at once, each chart when it comes near the screen.

const CHARTS = {curves: CurveChart, parallel: ParallelChart};
const NEAR_PIXELS = 200;

for (const table of document.querySelectorAll("table.sortable"))
    makeSortable(table);
const experiments = document.getElementById("experiments");
if (experiments)
    useExperimentsTable(experiments);

const charts = new Map();
const observer = new IntersectionObserver(entries => {
    for (const {target, isIntersecting} of entries) {
        if (isIntersecting && !charts.has(target)) {
            const chart = CHARTS[target.dataset.chart].of(target);
            charts.set(target, chart);
            chart.show().then(() => performance.mark("chart drawn"));
        }
        const chart = charts.get(target);
        if (chart) {
            chart.isOnScreen = isIntersecting;
            if (isIntersecting && chart.isStale)
                chart.refresh();
        }
    }
}, {rootMargin: `${NEAR_PIXELS}px`});
for (const figure of document.querySelectorAll("[data-chart]"))
    observer.observe(figure);
addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details"))
        details.open = true;
});
globalThis.expmanCharts = charts;  // for the browser's console
