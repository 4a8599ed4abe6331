// A trial's own view, made of the page's data when a link leads to it: #trial=STUDY/INDEX.

let scrollOfRound = 0;
let linkOfRound = null;

const section = (title, ...children) => make("section", {}, make("h2", {}, title), ...children);

function table(heads, rows, label) {
  const head = make("tr", {}, ...heads.map((text, place) => make("th", { scope: "col", class: place ? "number" : false }, text)));
  const body = rows.map(({ cells, isStrong }) => make("tr", { class: isStrong ? "differs" : false },
    ...cells.map((cell, place) => make(place ? "td" : "th", place ? { class: "number" } : { scope: "row" }, cell))));
  return make("div", { class: "scroll", role: "region", "aria-label": label, tabindex: "0" },
    make("table", { class: "compact narrow" }, make("thead", {}, head), make("tbody", {}, ...body)));
}

function command(text, label) {
  return make("div", { class: "command" }, make("pre", {}, text), copyButton(() => text, label));
}

/** Where the trial stands, and the way to its neighbours. */
function standing(trial, order) {
  const place = order.indexOf(trial);
  const around = make("nav", { class: "around", "aria-label": "Other trials" });
  const rank = ranked();
  if (order[place - 1]) around.append(make("a", { href: hrefOf(order[place - 1].name), rel: "prev" }, "← previous"));
  if (order[place + 1]) around.append(make("a", { href: hrefOf(order[place + 1].name), rel: "next" }, "next →"));
  const verdict = verdictOf(trial);
  const words = [];
  if (verdict) words.push(verdictText(verdict));
  if (rank.includes(trial)) {
    words.push(`number ${countText(rank.indexOf(trial) + 1)} of ${countText(rank.length)} completed trials`);
    const behind = Math.abs(verdict.value - verdictOf(rank[0]).value);
    if (trial !== rank[0]) words.push(behind ? `${numberText(behind, 2)} behind the best` : "the same objective as the best");
  }
  return [make("p", { class: "facts" }, outcomeBadge(trial), ` ${words.join(" · ")}`), around];
}

function outcomeSection(trial) {
  const parts = [];
  if (trial.reason) parts.push(make("p", { class: "warning" }, trial.reason));
  if (trial.traceback) parts.push(make("pre", { class: "traceback", tabindex: "0" }, trial.traceback));
  const title = trial.outcome === "infeasible" ? "Why it is infeasible" : isStoppedEarly(trial) ? "How it ended" : "What went wrong";
  return parts.length ? [section(title, ...parts)] : [];
}

function valuesSection(trial, best) {
  const own = valuesOf(trial);
  const others = best && best !== trial ? valuesOf(best) : null;
  const names = [...new Set([...data.scientific, ...data.varied, ...Object.keys(own).sort(), ...Object.keys(others ?? {})])];
  const differs = (name) => others && String(own[name]) !== String(others[name]);
  const rowOf = (name) => ({
    cells: [name, valueText(own[name]), ...(others ? [valueText(others[name])] : [])], isStrong: differs(name),
  });
  const isFirst = (name) => (others ? differs(name) : data.varied.includes(name) || data.scientific.includes(name));
  const heads = ["hyperparameter", "this trial", ...(others ? ["the best trial"] : [])];
  const [first, rest] = [names.filter(isFirst), names.filter((name) => !isFirst(name))];
  const parts = [];
  if (first.length) parts.push(table(heads, first.map(rowOf), "Values"));
  else parts.push(make("p", {}, others ? "It has the same values as the best trial." : "Nothing was varied."));
  if (rest.length) {
    const words = others ? `${rest.length} that are the same in the best trial` : `${rest.length} that are fixed`;
    parts.push(make("details", {}, make("summary", {}, words), table(heads, rest.map(rowOf), words)));
  }
  return section(others ? "Values that differ from the best trial's" : "Values", ...parts);
}

function measuredSection(trial) {
  const rows = data.candidates.flatMap((candidate) => {
    const at = (kind) => {
      const value = candidate[kind].values[trial.place];
      return value == null ? ABSENT : `${numberText(value)} at ${countText(candidate[kind].steps[trial.place])}`;
    };
    const cells = [`${candidate.split.replaceAll("_", " ")} ${candidate.metric}`, at("lowest"), at("highest"), at("last")];
    return cells.slice(1).every((text) => text === ABSENT) ? [] : [{ cells }];
  });
  return rows.length ? [section("What it measured", table(["metric", "lowest, at step", "highest, at step", "last, at step"], rows, "Metrics"))] : [];
}

/** The trial's lines of every plot of curves, with the best trial's faint behind them. */
function curvesSection(trial, best) {
  const places = Object.entries(data.figures).filter(([, figure]) => figure.layout.meta?.kind === "curves"
    && figure.data.some(({ meta }) => meta.trial === trial.name));
  if (!places.length) {
    const words = data.trials.some(({ name }) => hasCurves(name))
      ? "The page holds the curves of the best trials, and of those that findings point to; this one's are in the records."
      : "No curves of it were recorded.";
    return section("Training curves", make("p", { class: "note" }, words));
  }
  const note = "Solid: validation. Dashed: training." + (best && best !== trial ? " Grey: the best trial." : "");
  const figures = places.map(([id, figure]) => {
    const title = byId(id).closest("figure").querySelector("figcaption")?.textContent ?? "";
    const place = make("div", { class: "plot", role: "group", "aria-label": `${title} of ${trial.text}` });
    queueMicrotask(() => draw(place, figure, (traces, layout) => ({
      traces: withSmoothed([...traces.filter(({ meta }) => best !== trial && meta.trial === best?.name && meta.split !== undefined).map(greyed),
        ...traces.filter(({ meta }) => meta.trial === trial.name).map((trace) => ({ ...trace, opacity: 1 }))].map(withHover), layout),
      layout: fittingLayout(layout, traces.filter(({ meta }) => meta.trial === trial.name)),
    })));
    return make("figure", {}, make("figcaption", {}, title), place);
  });
  return section("Training curves", make("p", { class: "note" }, note), make("div", { class: "plots" }, ...figures));
}

/** The plot's own vertical axis where the trial's lines end within it; else one that holds all of them. */
function fittingLayout(layout, traces) {
  const given = curveLayout(layout);
  const { range, type } = given.yaxis;
  const turned = (value) => (type === "log" ? Math.log10(value) : value);
  const ends = traces.map((trace) => (trace.y ?? []).findLast((value) => value !== null)).filter((value) => value != null);
  const fits = !range || ends.every((value) => turned(value) >= range[0] && turned(value) <= range[1]);
  return fits ? given : { ...given, yaxis: { ...given.yaxis, range: undefined } };
}

const hasCurves = (name) => Object.values(data.figures).some(({ data: traces, layout }) =>
  layout.meta?.kind === "curves" && traces.some(({ meta }) => meta.trial === name));

const greyed = (trace) => ({ ...trace, opacity: 0.6, line: { ...trace.line, color: "#7A828A", width: 1.2 } });

function findingsSection(trial) {
  const found = data.findings.filter((finding) => finding.trials.includes(trial.name));
  const items = found.map((finding) => make("li", {}, make("a", { href: `#${finding.anchor}` }, finding.question), ` ${finding.sentence}`));
  return items.length ? [section("Findings that point to it", make("ul", {}, ...items))] : [];
}

function factsSection(trial) {
  const facts = [
    ["steps", trial.steps == null ? null : countText(trial.steps)], ["time", trial.time === ABSENT ? null : trial.time],
    ["parameters", trial.parameters == null ? null : countText(trial.parameters)],
    ["waiting for input", trial.waiting == null ? null : `${percentText(trial.waiting)} of the steps' time`],
    ["90th percentile of the gradient norm", trial.gradient_norm_p90 == null ? null : numberText(trial.gradient_norm_p90)],
    ["machine", trial.machine], ["recorded as", trial.recorded_as],
    ...(trial.attempts ?? []).map((attempt) => [`attempt ${attempt.number}`, [attempt.ended ?? "running",
      attempt.gang && `on ${attempt.gang}`, attempt.started && `from ${attempt.started.slice(0, 19).replace("T", " ")}`,
      attempt.first_step ? `going on from step ${countText(attempt.first_step)}` : null].filter(Boolean).join(", ")]),
  ].filter(([, text]) => text);
  const list = make("dl", {}, ...facts.flatMap(([term, text]) => [make("dt", {}, term), make("dd", {}, text)]));
  const logs = (trial.logs ?? []).flatMap(([path, name], place) =>
    [place ? ", " : "", make("a", { href: `../${path.split("/").map(encodeURIComponent).join("/")}` }, name)]);
  if (logs.length) list.append(make("dt", {}, "logs"), make("dd", {}, ...logs));
  return facts.length || logs.length ? [section("How it ran", list)] : [];
}

const quoted = (value) => (value === null ? "None" : value === true ? "True" : value === false ? "False" : JSON.stringify(value));

function againSections(trial) {
  if (data.storage === null) return [];
  const load = `from raytune_playbook import load_model\n\nmodel = load_model(${quoted(data.round)}, ${quoted(trial.text)}, storage=${quoted(data.storage)})`;
  const model = trial.is_without_checkpoints
    ? make("p", {}, "Its checkpoints were deleted, for those of better trials to have room within Budget.max_checkpoint_gib.")
    : command(load, "Copy how to load its model");
  return [section("Load its model", model), section("Run it again",
    make("p", {}, "A job of this one point, trained anew with other seeds: ",
      "save it beside ", data.job ? make("code", {}, data.job) : "the program that defines the round", " and ",
      make("code", {}, "raytune-playbook run"), " it."),
    command(jobAgain(trial), "Copy a job that runs it again"))];
}

/** A job file whose only trial has this one's values. */
function jobAgain(trial) {
  const { sets } = studies.get(trial.study);
  const given = Object.entries(trial.values ?? {}).map(([name, value]) => `            ${quoted(sets[name] ?? name)}: ${quoted(value)},`);
  const module = (data.job ?? "").split(/[/\\]/).pop().replace(/\.py$/, "");
  return [
    module ? `import ${module} as before` : "import before  # the program that defines the round, under the name `round`", "",
    "round = before.round.model_copy(", "    update={", `        "name": ${quoted(`${data.round}-again`)},`,
    `        "goal": ${quoted(`Does ${trial.text} of ${data.round} come out the same with other seeds?`)},`,
    '        "scientific": {},', '        "nuisance": {},', '        "configurations": (),', '        "search": "halton",',
    '        "fixed": {', "            **before.round.fixed,", ...given, "        },",
    '        "budget": before.round.budget.model_copy(update={"num_trials": 1}),', "    }", ")",
  ].join("\n");
}

/** The whole view of a trial. */
function trialView(name) {
  const back = make("p", { class: "back" }, make("a", { href: "#trials" }, `← ${data.round}`));
  const trial = trials.get(name);
  if (!trial) return [back, make("h1", { tabindex: "-1" }, "No such trial"), make("p", {}, `The round has no trial ${name}.`)];
  const [best] = ranked();
  return [back, make("h1", { tabindex: "-1" }, chip(studies.get(trial.study)), `Trial ${trial.text}`), ...standing(trial, inOrder()),
    ...outcomeSection(trial), ...findingsSection(trial), valuesSection(trial, best), curvesSection(trial, best),
    ...measuredSection(trial), ...factsSection(trial), ...againSections(trial)];
}
