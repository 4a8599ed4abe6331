// Training curves: which trials', how smooth, and on what vertical axis.

let allCurves = false;
/** Chosen by the reader; before, each plot has its own. */
let smoothing = null;
let curveScale = "auto";

const withHover = (trace) => (trace.meta.split === undefined ? trace : {
  ...trace,
  hovertemplate: `${plain(trials.get(trace.meta.trial)?.text ?? "")} ${trace.meta.split}: %{y:.4g} at step %{x}<extra></extra>`,
});

/** An exponential moving average, corrected for its start; gaps stay gaps. */
function smoothed(values, weight) {
  let mean = 0;
  let known = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = weight * mean + (1 - weight) * value;
    known = weight * known + (1 - weight);
    return mean / known;
  });
}

/** Lines with their smoothed ones on top of all of them. */
function withSmoothed(traces, layout) {
  const weight = smoothing ?? layout.meta.smoothing;
  if (!weight) return traces;
  const [lines, others] = [traces.filter(({ mode }) => mode === "lines"), traces.filter(({ mode }) => mode !== "lines")];
  const faint = lines.map((trace) => ({ ...trace, opacity: 0.2, line: { ...trace.line, width: 1 }, hoverinfo: "skip", hovertemplate: undefined }));
  return [...faint, ...lines.map((trace) => ({ ...trace, y: smoothed(trace.y, weight) })), ...others];
}

function curveLayout(layout) {
  const { axes, scale } = layout.meta;
  const chosen = curveScale in axes ? curveScale : scale;
  return { ...layout, yaxis: { ...axes[chosen], title: layout.yaxis.title } };
}

adapted.curves = (traces, layout) => ({
  traces: withSmoothed(traces.filter(({ meta }) => allCurves || meta.best).map(withHover), layout),
  layout: curveLayout(layout),
});

const isOfCurves = (kind) => kind === "curves";

function connectCurves() {
  const switches = [...document.querySelectorAll("button[data-curves]")];
  for (const button of switches) {
    button.addEventListener("click", () => {
      allCurves = button.dataset.curves === "all";
      for (const other of switches) other.setAttribute("aria-pressed", String(other === button));
      redraw(isOfCurves);
    });
  }
  byId("smoothing")?.addEventListener("input", ({ target }) => {
    smoothing = Number(target.value);
    redraw(isOfCurves);
  });
  byId("curve-scale")?.addEventListener("change", ({ target }) => {
    curveScale = target.value;
    redraw(isOfCurves);
  });
}
