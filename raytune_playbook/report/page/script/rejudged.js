// Plots whose heights are objectives, judged by what is chosen instead of the round's objective.

const valueOf = (name) => (name && trials.has(name) ? verdictOf(trials.get(name))?.value ?? null : null);
const heightsOf = (names) => names.map(valueOf);
const known = (traces) => traces.flatMap((trace) => trace.y ?? []).filter((value) => value !== null);

/** The best trial of a list of names, and its place in it. */
function bestAmong(names) {
  const [best] = ranked(names.filter((name) => name).map((name) => trials.get(name)));
  return best ? { name: best.name, at: names.indexOf(best.name) } : null;
}

/** Traces whose heights are objectives, and a layout with the axis that these ask for; other traces stay. */
function onValueAxis(traces, layout) {
  const isOfTrials = ({ meta }) => ["point", "ring", "others", "best"].includes(meta.role);
  const axis = valueAxis(known(traces.filter(({ meta }) => ["point", "others"].includes(meta.role))));
  const { domain } = layout.yaxis;
  return {
    traces: traces.map((trace) => (isOfTrials(trace) ? {
      ...trace, y: trace.y.map(axis.heightOf),
      marker: trace.meta.marker ? axis.markerOf(trace.y, trace.meta.marker) : trace.marker,
    } : trace)),
    layout: { ...layout, annotations: axis.notes, yaxis: { ...axis.layout, ...(domain && { domain }), title: { text: plain(judged.name) } } },
  };
}

adapted.axis = (traces, layout) => {
  if (isOwn()) return { traces, layout };
  const points = new Map(traces.filter(({ meta }) => meta.role === "point").map((trace) => [trace.meta.study, trace]));
  return onValueAxis(traces.flatMap((trace) => {
    if (trace.meta.role === "point") return [{ ...trace, y: heightsOf(trace.customdata) }];
    if (trace.meta.role !== "ring") return [trace];
    const own = points.get(trace.meta.study);
    const best = own && bestAmong(own.customdata);
    return best ? [{ ...trace, x: [own.x[best.at]], y: [valueOf(best.name)], customdata: [best.name] }] : [];
  }), layout);
};

adapted.isolation = (traces, layout) => {
  if (isOwn()) return { traces, layout };
  const others = new Map(traces.filter(({ meta }) => meta.role === "others").map((trace) => [trace.meta.at, trace]));
  return onValueAxis(traces.flatMap((trace) => {
    if (trace.meta.role === "others") return [{ ...trace, y: heightsOf(trace.customdata) }];
    const members = others.get(trace.meta.at);
    const best = members && bestAmong(members.customdata);
    if (!best) return [];
    const x = layout.meta.is_bucketed ? [members.x[best.at]] : trace.x;
    return [{ ...trace, x, y: [valueOf(best.name)], customdata: [best.name], error_y: undefined }];
  }), layout);
};

adapted["best so far"] = (traces, layout) => {
  if (isOwn()) return { traces, layout };
  const judgedTraces = traces.map((trace) => {
    let best = null;
    const held = trace.meta.trials.map((name) => {
      const value = competes(trials.get(name)) ? valueOf(name) : null;
      if (value !== null && (best === null || isBetter(value, valueOf(best)))) best = name;
      return best;
    });
    return { ...trace, customdata: held, y: heightsOf(held) };
  });
  const title = `best ${judged.name} so far`;
  return { traces: judgedTraces, layout: { ...layout, yaxis: { ...scaleOf(known(judgedTraces)), title: { text: plain(title) } } } };
};

const followsJudging = (kind) => ["axis", "isolation", "best so far"].includes(kind);

/** The three selects of the toolbar. */
function connectJudging() {
  const [metric, over, goal] = ["judge-metric", "judge-over", "judge-goal"].map(byId);
  if (!metric) return;
  if (!data.candidates.length) { // nothing but the objective is known of these trials
    metric.closest(".judge").hidden = true;
    return;
  }
  data.candidates.forEach((candidate, place) =>
    metric.append(make("option", { value: String(place) }, `${candidate.split.replaceAll("_", " ")} ${candidate.metric}`)));
  const ownPlace = data.candidates.findIndex(
    (candidate) => candidate.split === data.objective.split && candidate.metric === data.objective.metric);
  over.append(make("option", { value: "best" }, "best over training"), make("option", { value: "last" }, "at the end"));
  goal.append(make("option", { value: "minimize" }, "lowest is best"), make("option", { value: "maximize" }, "highest is best"));
  if (ownPlace < 0) metric.prepend(make("option", { value: "own" }, data.objective.name));
  metric.value = ownPlace < 0 ? "own" : String(ownPlace);
  over.value = own.over;
  goal.value = own.goal;
  const change = () => {
    // Whoever restores what was chosen on an older page may name what is not there any more.
    if (!metric.value) metric.value = ownPlace < 0 ? "own" : String(ownPlace);
    over.value ||= own.over;
    goal.value ||= own.goal;
    const isTheRounds = ["own", String(ownPlace)].includes(metric.value) && over.value === own.over && goal.value === own.goal;
    judged = isTheRounds || metric.value === "own" ? own : {
      place: Number(metric.value), over: over.value, goal: goal.value,
      name: metric.selectedOptions[0].textContent,
    };
    tellJudging();
    fillTable();
    redraw(followsJudging);
  };
  for (const select of [metric, over, goal]) select.addEventListener("change", change);
}

/** Says what is judged otherwise, and what is not. */
function tellJudging() {
  const notice = byId("judged-otherwise");
  notice.hidden = isOwn();
  if (isOwn()) return;
  const { split, metric } = data.candidates[judged.place];
  notice.replaceChildren(
    `The isolation, axis and best-so-far plots and the table of trials are judged by the ${judgedText()}. The answer, the `
    + `findings and all other plots are for the round's objective, the ${data.objective.text}.`);
  if (data.storage !== null && ["train", "validation"].includes(split)) {
    const quoted = (text) => (/^[\w./:-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
    notice.append(" To judge all of it so: ", make("code", {},
      `raytune-playbook report ${quoted(data.round)} --storage ${quoted(data.storage)} --objective ${quoted(metric)} `
      + `--split ${split} --over ${judged.over} --${judged.goal}`));
  }
}
