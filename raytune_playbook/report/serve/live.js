"use strict";
// Reloads the page when its records have changed, unless somebody is busy with it, and then puts everything back: where
// it was scrolled to, what was open and what was typed. The place of an open trial stands in the URL, which stays.
(() => {
  const { version, url, seconds } = document.currentScript.dataset;
  const key = `raytune-playbook ${location.pathname}`;
  const busyForMs = 4000;
  let lastTouched = 0;
  for (const event of ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"]) {
    addEventListener(event, () => { lastTouched = Date.now(); }, { passive: true, capture: true });
  }
  const busy = () => {
    const focused = document.activeElement;
    return Date.now() - lastTouched < busyForMs || !getSelection().isCollapsed
      || (focused && /^(INPUT|SELECT|TEXTAREA)$/.test(focused.tagName)) || document.querySelector("dialog[open]");
  };
  // What is folded is known by its id, or by its heading and the section that it is in: findings come and go.
  const nameOf = (fold) => fold.id || [fold.closest("[id]")?.id, fold.querySelector("summary")?.textContent.replace(/\d+/g, "").trim()].join(" ");
  const opened = () => [...document.querySelectorAll("details")];
  const typed = () => [...document.querySelectorAll("input[id], select[id]")];

  const before = sessionStorage.getItem(key);
  sessionStorage.removeItem(key);
  const restore = () => {
    const { x, y, open, values } = JSON.parse(before);
    for (const fold of opened()) if (nameOf(fold) in open) fold.open = open[nameOf(fold)];
    typed().forEach((element) => {
      const choices = element.options && [...element.options].map(({ value }) => value);
      const value = values[element.id];
      if (value !== undefined && value !== element.value && (!choices || choices.includes(value))) {
        element.value = value;
        element.dispatchEvent(new Event("input", { bubbles: true }));
        element.dispatchEvent(new Event("change", { bubbles: true }));
      }
    });
    scrollTo(x, y);
  };
  if (before) {
    history.scrollRestoration = "manual";
    restore();
    addEventListener("load", () => requestAnimationFrame(() => scrollTo(JSON.parse(before).x, JSON.parse(before).y)));
  }

  const look = async () => {
    try {
      const answer = await fetch(url, { cache: "no-store" });
      if (!answer.ok) return;
      const now = await answer.json();
      if (now.version === version || busy()) return;
      const values = Object.fromEntries(typed().map(({ id, value }) => [id, value]));
      const state = { x: scrollX, y: scrollY, open: Object.fromEntries(opened().map((fold) => [nameOf(fold), fold.open])), values };
      sessionStorage.setItem(key, JSON.stringify(state));
      location.reload();
    } catch { /* the server is away: the page stays as it is */ }
  };
  setInterval(() => { if (!document.hidden) look(); }, Number(seconds) * 1000);
})();
