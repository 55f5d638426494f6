// Tables that are sorted by their heads, and the filter of the table of experiments.

function makeSortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, index) => {
        const button = head.querySelector("button.sort");
        button?.addEventListener("click", () => {
            const isAscending = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "descending"
                : head.dataset.first !== "descending";
            for (const other of heads)
                other.removeAttribute("aria-sort");
            head.setAttribute("aria-sort", isAscending ? "ascending" : "descending");
            sortRows(table.tBodies[0], index, isAscending);
        });
    });
}

/** Numbers by their size, before texts; empty cells always come last. */
function sortRows(body, index, isAscending) {
    const sign = isAscending ? 1 : -1;
    const keyed = [...body.rows].map(row => {
        const cell = row.cells[index];
        const text = cell.textContent.trim();
        return {row, text, number: cell.dataset.value ? Number(cell.dataset.value) : NaN};
    });
    keyed.sort((one, other) => {
        if (!one.text || !other.text)
            return (one.text ? 0 : 1) - (other.text ? 0 : 1);
        const [isNumber, isOtherNumber] = [!Number.isNaN(one.number), !Number.isNaN(other.number)];
        if (isNumber && isOtherNumber)
            return sign * (one.number - other.number);
        if (isNumber !== isOtherNumber)
            return isNumber ? -1 : 1;
        return sign * one.text.localeCompare(other.text, undefined, {numeric: true});
    });
    body.append(...keyed.map(({row}) => row));
}

const COMPARISON = /^(.+?)(<=|>=|!=|=|<|>)(.+)$/;
const COMPARE = {
    "<": (one, other) => one < other, ">": (one, other) => one > other, "<=": (one, other) => one <= other,
    ">=": (one, other) => one >= other, "=": (one, other) => one === other, "!=": (one, other) => one !== other,
};

/**
 * A function from a line of the table to whether it fits all parts of a text: `loss<0.1`, `activation=relu`, or words that its
 * name or a cell without a number has; quotes keep words together.
 */
function conditionOf(text, columns) {
    const parts = text.toLowerCase().replace(/\s*(<=|>=|!=|=|<|>)\s*/g, "$1").match(/"[^"]*"|\S+/g) ?? [];
    const tests = parts.map(part => {
        const [, name, sign, value] = part.match(COMPARISON) ?? [];
        const column = name && columns.find(column => [column.name, column.head].some(known => known.toLowerCase() === name));
        return column ? line => fitsComparison(cellOf(line, column), sign, value)
            : line => hasWords(line, part.replaceAll('"', ""));
    });
    return line => tests.every(test => test(line));
}

function cellOf(line, column) {
    return line.querySelector(`[data-column="${CSS.escape(column.name)}"]`);
}

/** An empty cell fits nothing. */
function fitsComparison(cell, sign, value) {
    const text = cell.textContent.trim().toLowerCase();
    if (!text)
        return false;
    const isNumber = cell.dataset.value && !Number.isNaN(Number(value));
    return isNumber ? COMPARE[sign](Number(cell.dataset.value), Number(value)) : COMPARE[sign](text, value);
}

function hasWords(line, words) {
    return [line.dataset.label, ...[...line.querySelectorAll("[data-column]:not([data-value])")].map(cell => cell.textContent)]
        .some(text => text.toLowerCase().includes(words));
}

function useExperimentsTable(table) {
    const lines = [...table.tBodies[0].rows];
    const byRow = new Map(lines.map(line => [Number(line.dataset.row), line]));
    const columns = [...table.tHead.querySelectorAll("[data-name]")].map(head => ({
        name: head.dataset.name, head: head.textContent.trim()}));
    selection.numRows = lines.length;
    const filter = document.getElementById("filter");
    filter.addEventListener("input", () => {
        const fits = filter.value.trim() && conditionOf(filter.value, columns);
        selection.setCondition("filter", fits ? row => fits(byRow.get(row)) : null);
    });
    for (const [row, line] of byRow) {
        const box = line.querySelector("input.pin");
        box.addEventListener("change", () => selection.togglePin(row, box.checked));
        box.checked = false;  // a reload would keep it, but not the colour
        line.addEventListener("mouseenter", () => selection.hover(row));
        line.addEventListener("mouseleave", () => selection.hover(null));
    }
    const count = document.getElementById("count");
    selection.listeners.push(() => {
        let numShown = 0;
        for (const [row, line] of byRow) {
            line.hidden = !selection.isShown(row);
            numShown += line.hidden ? 0 : 1;
            line.classList.toggle("is-hovered", selection.hovered === row);
            const hasOwnColour = lines.length <= NUM_SERIES || selection.pinned.has(row);
            line.style.setProperty("--own", hasOwnColour ? selection.colourOf(row, null) : "transparent");
        }
        const text = numShown === lines.length ? `${numShown} experiments` : `${numShown} of ${lines.length} experiments`;
        if (count.textContent !== text)
            count.textContent = text;
    });
    darkScheme.addEventListener("change", () => selection.tell());
    selection.tell();
}
