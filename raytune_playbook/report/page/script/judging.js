// What trials are judged by: the round's objective, or for a look any other metric that was evaluated.

const own = { place: null, over: data.objective.over, goal: data.objective.goal, name: data.objective.name };
let judged = own;

const isOwn = () => judged === own;

/** A trial's objective with its step; null where it has none. A trial that was stopped early has no best step (rule CK4). */
function verdictOf(trial) {
  if (isOwn()) return trial.objective == null ? null : { value: trial.objective, step: trial.step };
  const kind = judged.over === "last" ? "last" : judged.goal === "minimize" ? "lowest" : "highest";
  const { values, steps } = data.candidates[judged.place][kind];
  return values[trial.place] == null ? null : { value: values[trial.place], step: isStoppedEarly(trial) ? null : steps[trial.place] };
}

const isStoppedEarly = (trial) => trial.is_stopped_early === true;

/** How it ended: one that was stopped early counts as completed, and is not called so. */
const outcomeText = (trial) => (isStoppedEarly(trial) ? "stopped early" : trial.outcome);

const outcomeBadge = (trial) => make("span", { class: `badge ${isStoppedEarly(trial) ? "stopped" : trial.outcome}` }, outcomeText(trial));

const verdictText = ({ value, step }) => `${judged.name} ${numberText(value)}${step == null ? "" : ` at step ${countText(step)}`}`;

const isBetter = (value, other) => (judged.goal === "minimize" ? value < other : value > other);

const competes = (trial) => trial.outcome === "completed" && !trial.repeat && verdictOf(trial) !== null;

/** Completed trials, the best first; ties go to the lower index, then to the trial that comes first. */
function ranked(some = data.trials) {
  const sign = judged.goal === "minimize" ? 1 : -1;
  return some.filter(competes).map((trial) => [sign * verdictOf(trial).value, trial.index, trial.place, trial])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]).map((entry) => entry[3]);
}

/** All trials: the ranked ones, then other completed ones, infeasible, failed and unfinished ones. */
function inOrder() {
  const order = ["completed", "infeasible", "failed", "unfinished"];
  const first = ranked();
  const rest = new Set(first);
  const others = data.trials.filter((trial) => !rest.has(trial));
  others.sort((a, b) => order.indexOf(a.outcome) - order.indexOf(b.outcome) || a.place - b.place);
  return [...first, ...others];
}

function judgedText() {
  const extreme = judged.goal === "minimize" ? "lowest" : "highest";
  return judged.over === "last" ? `${judged.name} at the end of training; the ${extreme} is best`
    : `${extreme} ${judged.name} over training`;
}

/** What a plot shows of a trial when one points at it; plotly understands <b> and <br>. */
function hoverText(name) {
  const trial = trials.get(name);
  if (!trial) return "";
  const verdict = verdictOf(trial);
  const lines = [`<b>${plain(trial.text)}</b>`];
  if (verdict) lines.push(plain(verdictText(verdict)));
  const values = valuesOf(trial);
  for (const varied of [...data.scientific, ...data.varied]) {
    if (varied in values) lines.push(plain(`${varied} = ${valueText(values[varied])}`));
  }
  if (trial.outcome !== "completed") lines.push(...wrapped(`${trial.outcome}: ${trial.reason ?? trial.error ?? ""}`).map(plain));
  return lines.join("<br>");
}

/** A text in lines of at most 60 characters, at most four of them. */
function wrapped(text) {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    const piece = word.slice(0, 60);
    if (`${lines.at(-1)} ${piece}`.length > 60) lines.push(piece);
    else lines[lines.length - 1] = `${lines.at(-1)} ${piece}`.trim();
  }
  return lines.slice(0, 4);
}
