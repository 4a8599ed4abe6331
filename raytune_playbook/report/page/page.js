"use strict";
(() => {
  const { figures, hover } = JSON.parse(document.getElementById("page-data").textContent);
  const hiddenStudies = new Set();
  let allCurves = false;

  // Colours of text and grid follow the page's light or dark theme.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const themed = (layout) => {
    const axis = { gridcolor: colour("--line"), linecolor: colour("--line"), zeroline: false, automargin: true };
    const axes = Object.fromEntries(
      Object.keys(layout).filter((key) => /^[xy]axis/.test(key)).map((key) => [key, { ...axis, ...layout[key] }]));
    return {
      ...layout, ...axes, autosize: true, showlegend: false, hovermode: "closest",
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: colour("--text") },
      hoverlabel: { bgcolor: colour("--page"), bordercolor: colour("--muted"), align: "left",
                    font: { color: colour("--text"), size: 12 } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--muted"), activecolor: colour("--text") },
      shapes: (layout.shapes || []).map((shape) => ({ ...shape, line: { ...shape.line, color: colour("--muted") } })),
    };
  };
  const config = { responsive: true, displaylogo: false, displayModeBar: "hover", doubleClick: "reset",
                   modeBarButtons: [["resetScale2d", "toImage"]] };

  const plots = Object.entries(figures).map(([id, { data, layout }]) => {
    for (const trace of data) {
      if (trace.customdata) trace.text = trace.customdata.map((trial) => hover[trial]);
    }
    const plot = document.getElementById(id);
    return Plotly.newPlot(plot, data, themed(layout), config).then((drawn) => {
      // A click on a trial's point leads to its row.
      drawn.on("plotly_click", ({ points: [point] }) => {
        const trial = point.customdata || point.data.meta.trial;
        if (trial) location.hash = encodeURIComponent(trial);
      });
      return [drawn, layout];
    });
  });
  Promise.all(plots).then(() => document.documentElement.classList.add("drawn"));
  dark.addEventListener("change", async () => {
    for (const [plot, layout] of await Promise.all(plots)) Plotly.relayout(plot, themed(layout));
  });

  async function show() {
    for (const [plot] of await Promise.all(plots)) {
      const visible = plot.data.map(({ meta }) => (allCurves || meta.best) && !hiddenStudies.has(meta.study));
      if (visible.length) Plotly.restyle(plot, { visible });
    }
    for (const row of document.querySelectorAll("#trials tbody tr")) row.hidden = hiddenStudies.has(row.dataset.study);
  }
  for (const button of document.querySelectorAll("button.study")) {
    button.addEventListener("click", () => {
      const { study } = button.dataset;
      if (!hiddenStudies.delete(study)) hiddenStudies.add(study);
      button.setAttribute("aria-pressed", String(!hiddenStudies.has(study)));
      show();
    });
  }
  const switches = document.querySelectorAll("button[data-curves]");
  for (const button of switches) {
    button.addEventListener("click", () => {
      allCurves = button.dataset.curves === "all";
      for (const other of switches) other.setAttribute("aria-pressed", String(other === button));
      show();
    });
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => head.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const key = (row) => {
        const cell = row.cells[column];
        return cell.dataset.value ?? (cell.classList.contains("number") ? "" : cell.textContent);
      };
      const order = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === "" || y === "") return (x === "") - (y === ""); // absent values last, either way
        const difference = isNaN(x) || isNaN(y) ? x.localeCompare(y) : Number(x) - Number(y);
        return descending ? -difference : difference;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
    }));
  }

  document.getElementById("copy").addEventListener("click", ({ target }) => {
    navigator.clipboard.writeText(target.previousElementSibling.textContent).then(() => { target.textContent = "Copied"; });
  });
})();
