// Colours come from the style sheet, so that the charts follow the light or dark scheme of the page.

const darkScheme = matchMedia("(prefers-color-scheme: dark)");
const NUM_SERIES = 8;

function cssColour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The colour of the series with an index from 0; they repeat after the last. */
function seriesColour(index) {
    return cssColour(`--series-${index % NUM_SERIES}`);
}

/**
 * The colour of an experiment by its rank from 0 (best) to 1 (worst); null for one without a value. The colours change
 * fastest among the best, since these are looked for.
 */
function shadeColour(shade) {
    if (shade === null)
        return cssColour("--scale-none");
    const stops = ["--scale-best", "--scale-middle", "--scale-worst"].map(name => cssColour(name));
    const place = Math.sqrt(Math.min(Math.max(shade, 0), 1)) * 2;
    const first = Math.min(Math.floor(place), 1);
    return mixed(stops[first], stops[first + 1], place - first);
}

/** Between two colours written as #rrggbb. */
function mixed(one, other, share) {
    const channel = (colour, index) => parseInt(colour.slice(1 + 2 * index, 3 + 2 * index), 16);
    return "#" + [0, 1, 2].map(index => Math.round(
        channel(one, index) * (1 - share) + channel(other, index) * share).toString(16).padStart(2, "0")).join("");
}
