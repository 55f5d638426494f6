// The box beside the pointer, and how numbers are written in it.

const tooltip = {
    /** Shows nodes beside a place, given in pixels within an element. */
    show(nodes, element, {x, y}) {
        const box = document.getElementById("tooltip");
        box.replaceChildren(...nodes);
        box.hidden = false;
        const around = element.getBoundingClientRect();
        const [left, top] = [around.left + x, around.top + y];
        const isRight = left + 16 + box.offsetWidth < document.documentElement.clientWidth;
        box.style.left = `${Math.max(4, isRight ? left + 16 : left - 16 - box.offsetWidth)}px`;
        box.style.top = `${Math.min(Math.max(4, top - box.offsetHeight / 2), innerHeight - box.offsetHeight - 4)}px`;
    },

    hide() {
        document.getElementById("tooltip").hidden = true;
    },
};

/** A line of the tooltip: a swatch of a colour if there is one, a name and a value. */
function tooltipLine(name, value, colour) {
    const line = document.createElement("div");
    line.className = "tooltip-line";
    if (colour) {
        const swatch = document.createElement("i");
        swatch.style.background = colour;
        line.append(swatch);
    }
    for (const text of [name, value]) {
        const part = document.createElement("span");
        part.textContent = text;
        line.append(part);
    }
    return line;
}

function tooltipHead(text, colour) {
    const head = tooltipLine(text, "", colour);
    head.classList.add("tooltip-head");
    return head;
}

/** Four significant digits, as the tables have it. */
function numberText(value) {
    if (!Number.isFinite(value))
        return "none";
    if (Math.abs(value) >= 1e4 && Math.abs(value) < 1e9)
        return value.toFixed(0);
    if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e9))
        return value.toExponential(3).replace(/\.?0+e/, "e");
    return String(Number(value.toPrecision(4)));
}
