// What the page knows, and how texts and elements are made of it. Every text is set as text, never as HTML.

const data = JSON.parse(document.getElementById("page-data").textContent);
data.trials.forEach((trial, place) => { trial.place = place; });
const trials = new Map(data.trials.map((trial) => [trial.name, trial]));
const studies = new Map(data.studies.map((study) => [study.name, study]));

const ABSENT = "—";
const byId = (id) => document.getElementById(id);

/** An element: attributes whose value is false or absent are left out, a function is a listener, children are texts or elements. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null && child !== ""));
  return element;
}

/** A number with so many significant digits, as the rest of the page writes it. */
function numberText(value, digits = 4) {
  if (value == null) return ABSENT;
  if (typeof value !== "number") return String(value);
  const rounded = Number(value.toPrecision(digits));
  return rounded !== 0 && (Math.abs(rounded) < 1e-4 || Math.abs(rounded) >= 10 ** digits && !Number.isInteger(value))
    ? rounded.toExponential().replace(/e([+-])(\d)$/, "e$10$2") : String(rounded);
}

const countText = (value) => (value == null ? ABSENT : value.toLocaleString("en-US"));

/** A hyperparameter's value: whole numbers as they are. */
function valueText(value) {
  if (value === null) return "none";
  if (value === undefined) return ABSENT;
  if (typeof value === "boolean") return value ? "True" : "False";
  return typeof value === "number" && !Number.isInteger(value) ? numberText(value) : String(value);
}

const percentText = (share) => (share == null ? ABSENT : `${Math.round(100 * share)}%`);

/** All values of a trial, those that its study fixes included. */
const valuesOf = (trial) => ({ ...studies.get(trial.study).fixed, ...trial.values });

const armOf = (trial) => data.scientific.length
  ? data.scientific.map((name) => valueText(valuesOf(trial)[name])).join(", ") : trial.study;

const hrefOf = (name) => `#trial=${encodeURIComponent(name)}`;

/** What stands for plotly's mark-up, which it reads in every text. */
const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function chip(study) {
  const style = `--light:${study.colour};--dark:${study.dark}`;
  return make("i", { class: "chip", "aria-hidden": "true", style }, study.sign);
}

const link = (trial) => make("a", { href: hrefOf(trial.name) }, trial.text);

function copyButton(textOf, label) {
  const button = make("button", { type: "button", class: "copy", "aria-label": label }, "Copy");
  copies(button, textOf);
  return button;
}

function copies(button, textOf) {
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(textOf());
      button.textContent = "Copied";
    } catch { // a file that is opened by itself may not write to the clipboard everywhere: select it instead
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "Selected: press Ctrl+C";
    }
  });
}
