// Training curves: which trials', how smooth, and on what vertical axis.

let allCurves = false;
let smoothing = 0;
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

/** A line with its smoothed one on top of it. */
function withSmoothed(trace) {
  if (!smoothing || trace.mode !== "lines") return [trace];
  const faint = { ...trace, opacity: 0.22, hoverinfo: "skip", hovertemplate: undefined };
  return [faint, { ...trace, y: smoothed(trace.y, smoothing) }];
}

function curveLayout(layout) {
  const { axes, scale } = layout.meta;
  const chosen = curveScale in axes ? curveScale : scale;
  return { ...layout, yaxis: { ...axes[chosen], title: layout.yaxis.title } };
}

adapted.curves = (traces, layout) => ({
  traces: traces.filter(({ meta }) => allCurves || meta.best).map(withHover).flatMap(withSmoothed),
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
