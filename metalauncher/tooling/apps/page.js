
"use strict";
(() => {
  const input = document.getElementById("filter");
  if (!input) return;
  const output = document.querySelector(".filter output");
  const rows = [...document.querySelectorAll("table.apps tbody tr")];
  const names = rows.map((row) => row.cells[0].textContent.toLowerCase());
  const tables = [...document.querySelectorAll("table.apps")];
  input.closest(".filter").hidden = false;
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, at) => {
      row.hidden = !words.every((word) => names[at].includes(word));
      shown += !row.hidden;
    });
    for (const table of tables) {
      table.closest("section").hidden = words.length > 0 && !table.querySelector("tbody tr:not([hidden])");
    }
    output.textContent = words.length ? `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} apps` : "";
  };
  input.addEventListener("input", filter);
  // A link to the page may say what to filter by: report.html#filter=team-a
  const show = () => {
    const wanted = new URLSearchParams(location.hash.slice(1)).get("filter");
    if (wanted !== null) input.value = wanted;
    filter();
  };
  addEventListener("hashchange", show);
  show();
})();
