
"use strict";
(() => {
  const bar = document.querySelector(".filter");
  if (!bar) return;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const [input, reset, output] = ["input", "button", "output"].map((tag) => bar.querySelector(tag));
  const cards = all(".tiles li:not(.zero) button");
  const sections = all("section").map((section) => {
    const pill = section.querySelector("h2 .number");
    return { section, apps: !!section.querySelector("table.apps"), pill, total: pill && pill.textContent };
  });
  const apps = all("table.apps tbody tr").map((row) => ({
    row,
    name: row.cells[0].textContent.toLowerCase(),
    badge: row.cells[1].querySelector(".verdict"),
    needs: (row.dataset.needs || "").split(" "),
  }));
  // A matrix counts the apps that are shown. Its rows come as they are to be without a filter.
  const needs = all("tr[data-need]").map((row) => ({
    row, id: row.dataset.need, risk: row.classList.contains("risky"), counts: all(".amount :is(b, small)", row).map((where) => [where, where.textContent]),
  }));
  const number = (count) => count.toLocaleString("en");
  const pressed = () => cards.filter((card) => card.getAttribute("aria-pressed") === "true");
  const show = (words, kinds) => {
    const filtered = words.length + kinds.length > 0;
    const found = new Map();
    let shown = 0;
    for (const { row, name, badge, needs } of apps) {
      row.hidden = !words.every((word) => name.includes(word))
        || (kinds.length > 0 && !kinds.some((kind) => badge.classList.contains(kind)));
      if (row.hidden) continue;
      shown += 1;
      for (const need of needs) found.set(need, (found.get(need) || 0) + 1);
    }
    for (const { row, id, risk, counts } of needs) {
      const risky = found.get(`${id}!`) || 0, total = risky + (found.get(id) || 0);
      row.hidden = filtered && !total;
      row.classList.toggle("risky", filtered ? risky > 0 : risk);
      const now = [number(total), risky ? `${number(risky)} at risk` : ""];
      counts.forEach(([where, text], at) => { where.textContent = filtered ? now[at] : text; });
    }
    // What counts all apps, whichever are shown, would mislead beside a filter.
    for (const { section, apps, pill, total } of sections) {
      const left = all(`${apps ? "" : ".matrix "}tbody tr:not([hidden])`, section).length;
      section.hidden = filtered && !left;
      if (pill) pill.textContent = filtered ? `${number(left)} of ${total}` : total;
    }
    document.querySelector(".nothing").hidden = shown > 0 || !filtered;
    reset.hidden = !filtered;
    output.textContent = filtered ? `${number(shown)} of ${number(apps.length)} apps` : "";
  };
  const filter = () => {
    show(input.value.toLowerCase().split(/\s+/).filter(Boolean), pressed().map((card) => card.dataset.kind));
  };
  const press = (card, on) => card.setAttribute("aria-pressed", on);
  for (const card of cards) {
    card.disabled = false;
    press(card, false);
    card.addEventListener("click", () => {
      press(card, card.getAttribute("aria-pressed") !== "true");
      filter();
    });
  }
  input.addEventListener("input", filter);
  reset.addEventListener("click", () => {
    input.value = "";
    cards.forEach((card) => press(card, false));
    filter();
    input.focus();
  });
  // Paper has everything.
  addEventListener("beforeprint", () => show([], []));
  addEventListener("afterprint", filter);
  // A link to the page may say what to filter by: report.html#filter=team-a&kind=refused
  const follow = () => {
    const wanted = new URLSearchParams(location.hash.slice(1)), name = wanted.get("filter");
    if (name !== null) input.value = name;
    cards.forEach((card) => { if (wanted.has("kind")) press(card, wanted.getAll("kind").includes(card.dataset.kind)); });
    filter();
  };
  addEventListener("hashchange", follow);
  bar.hidden = false;
  follow();
})();
