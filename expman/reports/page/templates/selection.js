// Which experiments are shown, picked and pointed at; the table and all charts look the same way at it.

const selection = {
    numRows: 0,
    pinned: new Map(),      // row → number of its colour
    hovered: null,          // row, or null
    conditions: new Map(),  // who asks → function from a row to whether it is to be shown
    listeners: [],
    isTold: false,

    isShown(row) {
        return [...this.conditions.values()].every(condition => condition(row));
    },

    setCondition(owner, condition) {
        if (condition)
            this.conditions.set(owner, condition);
        else
            this.conditions.delete(owner);
        this.tell();
    },

    togglePin(row, isPinned) {
        if (isPinned) {
            const taken = new Set(this.pinned.values());
            let colour = 0;
            while (taken.has(colour))
                colour++;
            this.pinned.set(row, colour);
        } else
            this.pinned.delete(row);
        this.tell();
    },

    hover(row) {
        if (this.hovered !== row) {
            this.hovered = row;
            this.tell();
        }
    },

    /** The colour of an experiment: its own among few or when it is kept in view, else that of its rank. */
    colourOf(row, shade) {
        if (this.numRows <= NUM_SERIES)
            return seriesColour(row);
        return this.pinned.has(row) ? seriesColour(this.pinned.get(row)) : shadeColour(shade);
    },

    /** Lets all listeners know, at most once a frame. */
    tell() {
        if (this.isTold)
            return;
        this.isTold = true;
        requestAnimationFrame(() => {
            this.isTold = false;
            for (const listener of this.listeners)
                listener();
        });
    },
};

/** What the table says of an experiment: its label, its rank and the text of each column. */
function experimentOf(row) {
    const line = document.querySelector(`#experiments tr[data-row="${row}"]`);
    if (!line)
        return null;
    const texts = {};
    for (const cell of line.querySelectorAll("[data-column]"))
        texts[cell.dataset.column] = cell.textContent.trim();
    return {label: line.dataset.label, shade: line.dataset.shade === "" ? null : Number(line.dataset.shade), texts};
}
