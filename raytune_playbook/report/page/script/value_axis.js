// Vertical axes of objectives, as figures/value_axis.py makes them: those that are much worse stand at the edge, counted.

const LOG_RATIO = 5;
const [FAR_OUT, FAR_OUT_OF_LOG] = [3, 9];
const [EDGE, END, START] = [0.1, 0.17, 0.06];

/** The value below which a share of sorted ones lies, between neighbours in proportion. */
function quantile(sorted, share) {
  const at = share * (sorted.length - 1);
  const [low, high] = [Math.floor(at), Math.ceil(at)];
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

/** The largest of rising losses that an axis holds; null where they say nothing of it. */
function limitOf(losses, farOut) {
  if (losses.length < 2) return null;
  const [best] = losses;
  const most = Math.max(quantile(losses, 0.75), losses.find((loss) => loss > best) ?? best);
  return most > best ? most + farOut * (most - best) : null;
}

/** An axis that holds all of these values: logarithmic where they span far. */
function scaleOf(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (!values.length || low <= 0 || high < LOG_RATIO * low) return {};
  return { type: "log", tickformat: "~g", ...(high < 300 * low ? { dtick: "D2" } : { nticks: 4 }) };
}

/** An axis for these values, as what is judged by has it: its layout, where a value is drawn, and how it is marked. */
function valueAxis(values) {
  const layout = scaleOf(values);
  const isLog = layout.type === "log";
  const sign = judged.goal === "minimize" ? 1 : -1;
  const lossOf = (value) => sign * (isLog ? Math.log10(value) : value);
  const losses = values.map(lossOf).sort((a, b) => a - b);
  const limit = limitOf(losses, isLog ? FAR_OUT_OF_LOG : FAR_OUT);
  if (limit === null || limit >= losses.at(-1)) return { layout, heightOf: (value) => value, markerOf: (values, marker) => marker, notes: [] };
  const isBeyond = (value) => value !== null && lossOf(value) > limit;
  const inside = losses.filter((loss) => loss <= limit);
  const span = inside.at(-1) - inside[0];
  const [edge, end, start] = [inside.at(-1) + EDGE * span, inside.at(-1) + END * span, inside[0] - START * span].map((loss) => sign * loss);
  const worst = values.find((value) => lossOf(value) === inside.at(-1));
  const beyond = sign > 0 ? "triangle-up-open" : "triangle-down-open";
  const number = losses.length - inside.length;
  const text = `${sign > 0 ? "△" : "▽"} ${number === 1 ? "1 trial" : `${countText(number)} trials`} ${sign > 0 ? "above" : "below"} `
    + `${numberText(worst, 3)}, at the edge`;
  return {
    layout: { ...layout, range: [start, end].sort((a, b) => a - b) },
    heightOf: (value) => (isBeyond(value) ? (isLog ? 10 ** edge : edge) : value),
    markerOf: (values, marker) => ({
      ...marker, symbol: values.map((value) => (isBeyond(value) ? beyond : marker.symbol)),
      opacity: values.map((value) => (isBeyond(value) ? 1 : marker.opacity ?? 1)),
    }),
    notes: [{ xref: "paper", yref: "paper", x: 1, y: 1, xanchor: "right", yanchor: "bottom", text, showarrow: false, font: { size: 11 } }],
  };
}
