"use strict";
// Filters the rows of a matrix. Without this script the page shows all of them, and has no filter.
for (const form of document.querySelectorAll("form.filter")) {
  const matrix = document.getElementById(form.dataset.matrix);
  const parts = [...matrix.querySelectorAll("details.part")];
  const bodies = [...matrix.querySelectorAll("tbody")];
  const rows = [...matrix.querySelectorAll("tr[data-state]")].map((row) => {
    const part = row.closest("details.part");
    return { row, text: `${part ? part.dataset.label : ""} ${row.cells[0].textContent}`.toLowerCase() };
  });
  const [text, state] = [form.elements.text, form.elements.state];
  const apply = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { row, text: own } of rows) {
      row.hidden = (state.value !== "" && row.dataset.state !== state.value) || !words.every((word) => own.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    for (const body of bodies) body.hidden = !body.querySelector("tr[data-state]:not([hidden])");
    for (const part of parts) {
      part.hidden = !part.querySelector("tbody:not([hidden])");
      part.open = words.length > 0 && shown <= 100;
    }
    form.querySelector("output").textContent = `${shown} of ${rows.length} rows`;
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
}
