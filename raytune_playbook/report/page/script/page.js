// Connects the page: which view it shows, legend, copying, hints, themes and print.

/** Shows what the address names: a trial's own view, or the round with whatever the address leads to. */
function route() {
  const named = /^#trial=(.*)$/.exec(location.hash);
  const [round, view] = [byId("round"), byId("trial")];
  for (const plot of view.querySelectorAll(".js-plotly-plot")) Plotly.purge(plot);
  if (named) {
    if (!round.hidden) {
      scrollOfRound = scrollY;
      linkOfRound = document.activeElement;
    }
    const name = decodeURIComponent(named[1]);
    round.hidden = true;
    view.hidden = false;
    view.replaceChildren(...trialView(name));
    document.title = `${trials.get(name)?.text ?? name} - ${data.round}`;
    scrollTo(0, 0);
    view.querySelector("h1").focus({ preventScroll: true });
    return;
  }
  const wasTrial = round.hidden;
  view.hidden = true;
  view.replaceChildren();
  round.hidden = false;
  document.title = data.round;
  reveal(location.hash ? byId(decodeURIComponent(location.hash.slice(1))) : null, wasTrial);
}

/** Opens what a place is folded in, and goes there; without a place, back to where the reader was. */
function reveal(place, wasTrial) {
  if (wasTrial) {
    scrollTo(0, scrollOfRound);
    linkOfRound?.focus?.({ preventScroll: true });
  }
  if (!place || place.id === "trials" && wasTrial && scrollOfRound) return;
  for (let fold = place.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  place.scrollIntoView();
  if (place.tabIndex === -1) place.focus({ preventScroll: true });
}

function connectLegend() {
  for (const button of document.querySelectorAll("button.study")) {
    button.addEventListener("click", () => {
      const { study } = button.dataset;
      if (!hiddenStudies.delete(study)) hiddenStudies.add(study);
      button.setAttribute("aria-pressed", String(!hiddenStudies.has(study)));
      redraw();
      fillTable();
    });
  }
}

/** Says of each table that is wider than its place that it scrolls. */
function hintWhereItScrolls() {
  const watch = new ResizeObserver((entries) => {
    for (const { target } of entries) hint(target);
  });
  const hint = (box) => {
    const words = box.nextElementSibling;
    if (words?.classList.contains("scroll-hint")) words.hidden = box.scrollWidth <= box.clientWidth + 1;
  };
  for (const box of document.querySelectorAll("#round .scroll")) watch.observe(box);
}

/** What sticks to the top must hide nothing that a link leads to. */
function leaveRoomForToolbar() {
  const toolbar = document.querySelector(".toolbar");
  if (!toolbar) return;
  new ResizeObserver(() => {
    const isSticky = getComputedStyle(toolbar).position === "sticky";
    document.documentElement.style.setProperty("--toolbar", `${isSticky ? toolbar.offsetHeight : 0}px`);
  }).observe(toolbar);
}

function connectPrint() {
  const unfolded = [];
  const begin = () => {
    if (isPrinting) return;
    isPrinting = true;
    for (const fold of document.querySelectorAll("#findings details:not([open])")) {
      fold.open = true;
      unfolded.push(fold);
    }
    drawAllPlots();
    redraw();
  };
  const end = () => {
    if (!isPrinting) return;
    isPrinting = false;
    for (const fold of unfolded.splice(0)) fold.open = false;
    redraw();
  };
  addEventListener("beforeprint", begin);
  addEventListener("afterprint", end);
  matchMedia("print").addEventListener("change", ({ matches }) => (matches ? begin() : end()));
}

connectTable();
connectJudging();
connectCurves();
connectLegend();
connectPrint();
hintWhereItScrolls();
leaveRoomForToolbar();
for (const button of document.querySelectorAll("button.copy")) copies(button, () => button.previousElementSibling.textContent);
darkScheme.addEventListener("change", () => redraw());
for (const id of Object.keys(data.figures)) comingIntoView.observe(byId(id));
addEventListener("hashchange", route);
route();
document.documentElement.classList.add("ready");
// Also where no plot is near yet: it is there by the time that one is.
afterPaint(readPlotly);
