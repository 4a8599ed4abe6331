// Plots are drawn when they come near the window, in the colours of the page's theme, and lead to their trials.

/** Makes plotly of its text. That takes most of a second, so the page is shown before. */
function readPlotly() {
  const text = byId("plotly");
  if (!text) return;
  const script = document.createElement("script");
  script.textContent = text.textContent;
  text.replaceWith(script);
}

const hiddenStudies = new Set();
const drawn = new Set();
/** By kind of figure, what is done to its traces and layout before it is drawn; other files add to it. */
const adapted = {};

const darkScheme = matchMedia("(prefers-color-scheme: dark)");
let isPrinting = false;
const isDark = () => darkScheme.matches && !isPrinting;
const themeColour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A colour of a figure on a dark page; others stay. */
function inTheme(colour) {
  if (colour === "white") return themeColour("--page");
  if (!isDark() || typeof colour !== "string") return colour;
  const channels = /^rgba\((\d+),(\d+),(\d+),([\d.]+)\)$/.exec(colour);
  if (!channels) return data.colours[colour] ?? colour;
  const [red, green, blue] = channels.slice(1, 4).map(Number);
  const hex = `#${[red, green, blue].map((part) => part.toString(16).padStart(2, "0")).join("").toUpperCase()}`;
  const dark = data.colours[hex];
  if (!dark) return colour;
  const part = (place) => parseInt(dark.slice(place, place + 2), 16);
  return `rgba(${part(1)},${part(3)},${part(5)},${channels[4]})`;
}

const recoloured = (part) => part && {
  ...part,
  ...("color" in part && { color: inTheme(part.color) }),
  ...("line" in part && { line: recoloured(part.line) }),
};

function traceInTheme(trace) {
  const copy = { ...trace };
  for (const name of ["marker", "line", "error_y"]) if (copy[name]) copy[name] = recoloured(copy[name]);
  if (copy.fillcolor) copy.fillcolor = inTheme(copy.fillcolor);
  if (copy.customdata && copy.hovertemplate?.includes("%{text}")) copy.text = copy.customdata.map(hoverText);
  return copy;
}

function layoutInTheme(layout) {
  const [text, muted, line] = ["--text", "--muted", "--line"].map(themeColour);
  const axis = { gridcolor: line, linecolor: line, zeroline: false, automargin: true };
  const axes = Object.fromEntries(
    Object.keys(layout).filter((key) => /^[xy]axis/.test(key)).map((key) => [key, { ...axis, ...layout[key] }]));
  return {
    ...layout, ...axes, autosize: true, showlegend: layout.showlegend ?? false, hovermode: "closest",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: text },
    hoverlabel: { bgcolor: themeColour("--page"), bordercolor: muted, align: "left", font: { color: text, size: 12 } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: muted, activecolor: text },
    shapes: (layout.shapes ?? []).map((shape) => ({
      ...shape, line: { ...shape.line, color: muted }, ...(shape.fillcolor && { fillcolor: inTheme(shape.fillcolor) }),
    })),
    annotations: (layout.annotations ?? []).map((note) => ({
      ...note, font: { ...note.font, color: muted }, ...(note.bgcolor && { bgcolor: inTheme(note.bgcolor) }),
    })),
  };
}

const config = { responsive: true, displaylogo: false, displayModeBar: "hover", modeBarButtons: [["resetScale2d", "toImage"]] };

/** Draws a figure, or draws it anew; `adapt` chooses what of it is shown. */
async function draw(place, figure, adapt = adapted[figure.layout.meta?.kind]) {
  const { traces, layout } = adapt ? adapt(figure.data, figure.layout) : { traces: figure.data, layout: figure.layout };
  const isNew = !place.classList.contains("js-plotly-plot");
  readPlotly();
  await Plotly.react(place, traces.map(traceInTheme), layoutInTheme(layout), config);
  if (isNew) leadsToTrials(place);
  place.classList.add("drawn");
}

/** A click on a trial's mark leads to its own view; what can be clicked shows it. */
function leadsToTrials(place) {
  const nameOf = ({ points: [point] }) => point.customdata ?? point.data.meta?.trial;
  place.on("plotly_click", (event) => {
    const name = nameOf(event);
    if (name) location.hash = hrefOf(name);
  });
  place.on("plotly_hover", (event) => place.classList.toggle("pointing", Boolean(nameOf(event))));
  place.on("plotly_unhover", () => place.classList.remove("pointing"));
}

/** Without the studies that are hidden. */
const shownOf = (traces) => traces.filter(({ meta }) => !hiddenStudies.has(meta?.study));

function drawPlot(id) {
  drawn.add(id);
  const figure = data.figures[id];
  const adapt = adapted[figure.layout.meta?.kind] ?? ((traces, layout) => ({ traces, layout }));
  return draw(byId(id), figure, (traces, layout) => adapt(shownOf(traces), layout));
}

/** Draws anew what is drawn already; what is not will be drawn as things are by then. */
const redraw = (isConcerned = () => true) =>
  Promise.all([...drawn].filter((id) => isConcerned(data.figures[id].layout.meta?.kind)).map(drawPlot));

/** Plots that have come near the window, and are drawn one at a time: what is typed or clicked comes in between. */
const waiting = new Set();

function drawWaiting() {
  const isSeen = (place) => place.getBoundingClientRect().bottom > 0 && place.getBoundingClientRect().top < innerHeight;
  const next = [...waiting].find(isSeen) ?? [...waiting][0];
  if (!next) return;
  waiting.delete(next);
  if (!drawn.has(next.id)) drawPlot(next.id);
  if (waiting.size) setTimeout(drawWaiting);
}

const comingIntoView = new IntersectionObserver((entries) => {
  const wasEmpty = waiting.size === 0;
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    comingIntoView.unobserve(target);
    waiting.add(target);
  }
  if (wasEmpty && waiting.size) afterPaint(drawWaiting);
}, { rootMargin: "500px" });

/** Does something once what there is has been shown. */
const afterPaint = (action) => requestAnimationFrame(() => setTimeout(action));

function drawAllPlots() {
  return Promise.all(Object.keys(data.figures).filter((id) => !drawn.has(id)).map(drawPlot));
}
