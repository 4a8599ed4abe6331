// The table of all trials: sorted best first, filtered by words, and filled a part at a time.

const ROWS_AT_ONCE = 100;
let sorting = { column: null, isDescending: false };
let shownRows = [];
let numFilled = 0;

/** The columns: what a cell shows, and what it is sorted by. */
const columns = [
  { head: data.scientific.join(", ") || "study", cell: (trial) => [chip(studies.get(trial.study)), armOf(trial)], key: armOf },
  { head: "trial", cell: (trial) => [link(trial)], key: (trial) => trial.place },
  { head: "outcome", cell: (trial) => [outcomeBadge(trial)], key: outcomeText },
  { isObjective: true, isNumber: true, cell: (trial) => [numberText(verdictOf(trial)?.value)], key: (trial) => verdictOf(trial)?.value },
  { head: "at step", isNumber: true, cell: (trial) => [stepText(trial)], key: (trial) => verdictOf(trial)?.step },
  ...data.varied.map((name) => ({
    head: name, isNumber: true, cell: (trial) => [valueText(valuesOf(trial)[name])], key: (trial) => valuesOf(trial)[name],
  })),
  { head: "time", isNumber: true, cell: (trial) => [trial.time], key: (trial) => trial.train_s },
  { head: "waiting for input", isNumber: true, cell: (trial) => [percentText(trial.waiting)], key: (trial) => trial.waiting },
  { head: "attempts", isNumber: true, cell: (trial) => [String(trial.attempts?.length ?? 0)], key: (trial) => trial.attempts?.length },
  { head: "reason", cell: (trial) => [reasonText(trial)], key: (trial) => reasonText(trial), isText: true },
].filter(({ head, key }) => !["time", "waiting for input", "attempts"].includes(head) || data.trials.some((trial) => key(trial) != null));

const headOf = (column) => (column.isObjective ? judged.name : column.head);

function stepText(trial) {
  const step = verdictOf(trial)?.step;
  return step == null ? ABSENT : trial.steps == null ? countText(step) : `${countText(step)} of ${countText(trial.steps)}`;
}

function reasonText(trial) {
  const text = trial.reason ?? (trial.outcome === "failed" ? trial.error : "") ?? "";
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

/** What the filter looks in. */
function wordsOf(trial) {
  const values = valuesOf(trial);
  const given = [...data.scientific, ...data.varied].map((name) => `${name}=${valueText(values[name])}`);
  return [trial.text, outcomeText(trial), trial.reason ?? "", trial.error ?? "", ...given, numberText(verdictOf(trial)?.value)].join(" ").toLowerCase();
}

function compare(a, b) {
  const [x, y] = [sorting.column.key(a), sorting.column.key(b)];
  const isAbsent = [x, y].map((key) => key == null || key === "");
  if (isAbsent[0] || isAbsent[1]) return isAbsent[0] - isAbsent[1]; // absent values last, either way
  const difference = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y));
  return sorting.isDescending ? -difference : difference;
}

/** Fills the table anew: from its beginning, in the order and with the filter that are chosen. */
function fillTable() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = sorting.column ? [...data.trials].sort(compare) : inOrder();
  shownRows = rows.filter((trial) => !hiddenStudies.has(trial.study))
    .filter((trial) => words.length === 0 || words.every((word) => wordsOf(trial).includes(word)));
  fillHead();
  byId("all-trials").tBodies[0].replaceChildren();
  numFilled = 0;
  fillMore();
  byId("num-shown").textContent = shownRows.length === data.trials.length ? `${countText(shownRows.length)} trials`
    : `${countText(shownRows.length)} of ${countText(data.trials.length)} trials`;
}

function fillMore(number = ROWS_AT_ONCE) {
  const next = shownRows.slice(numFilled, numFilled + number);
  byId("all-trials").tBodies[0].append(...next.map(row));
  numFilled += next.length;
  const left = shownRows.length - numFilled;
  byId("more-rows").hidden = left === 0;
  byId("more-rows").textContent = `Show ${countText(Math.min(left, ROWS_AT_ONCE))} more of ${countText(left)}`;
}

const row = (trial) => make("tr", { "data-trial": trial.name, "data-study": trial.study }, ...columns.map(
  (column) => make("td", { class: column.isNumber ? "number" : column.isText ? "reason" : false }, ...column.cell(trial))));

function fillHead() {
  const heads = columns.map((column) => {
    const isSorted = sorting.column === column || (sorting.column === null && column.isObjective);
    const isDescending = sorting.column === null ? judged.goal === "maximize" : sorting.isDescending;
    const button = make("button", { type: "button", click: () => sortBy(column) }, headOf(column));
    return make("th", {
      scope: "col", class: column.isNumber ? "number" : false,
      "aria-sort": isSorted ? (isDescending ? "descending" : "ascending") : false,
    }, button);
  });
  const focused = [...byId("all-trials").tHead.rows[0].cells].findIndex((cell) => cell.contains(document.activeElement));
  byId("all-trials").tHead.rows[0].replaceChildren(...heads);
  if (focused >= 0) heads[focused].firstChild.focus();
}

function sortBy(column) {
  const before = sorting.column ?? columns.find(({ isObjective }) => isObjective);
  const wasDescending = sorting.column === null ? judged.goal === "maximize" : sorting.isDescending;
  sorting = { column, isDescending: before === column ? !wasDescending : false };
  fillTable();
}

function connectTable() {
  byId("filter").addEventListener("input", fillTable);
  byId("more-rows").addEventListener("click", () => fillMore());
  // Whoever scrolls to the end of what is filled sees it go on.
  const box = byId("all-trials").parentElement;
  box.addEventListener("scroll", () => {
    if (box.scrollTop + box.clientHeight > box.scrollHeight - 200 && numFilled < shownRows.length) fillMore();
  });
  fillTable();
}
