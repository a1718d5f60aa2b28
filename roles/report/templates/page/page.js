"use strict";
// Filters rows of a matrix. Without this script the page shows all of them, and has no filter.
for (const form of document.querySelectorAll("form.filter")) {
  const rows = [...document.querySelectorAll(`#${form.dataset.table} tbody tr[data-state]`)].map(
    (row) => ({ row, text: row.cells[0].textContent.toLowerCase() }));
  const groups = [...document.querySelectorAll(`#${form.dataset.table} tbody`)];
  const [text, state] = [form.elements.text, form.elements.state];
  const output = form.querySelector("output");
  const apply = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { row, text: own } of rows) {
      row.hidden = (state.value !== "" && row.dataset.state !== state.value) || !words.every((word) => own.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    for (const group of groups) group.hidden = !group.querySelector("tr[data-state]:not([hidden])");
    output.textContent = `${shown} of ${rows.length} rows`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
}
