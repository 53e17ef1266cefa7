"use strict";
// Makes tables sort by a column, filter by a word, and show the rows that they cut.
// Without it they are as they stand: the dearest first.
(() => {
  const units = { "ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9, "%": 1 };
  // figure is the number that a cell shows, NaN where it shows none.
  const figure = text => {
    const m = /^[<>]?\s*(-?[\d,]*\.?\d+)(?:\s*(ns|µs|ms|s|%))?(?:\s|$)/.exec(text.trim());
    return m ? Number(m[1].replaceAll(",", "")) * (units[m[2]] || 1) : NaN;
  };
  // rows are those of a table, each with the stack below it.
  const rows = body => {
    const all = [];
    for (const tr of body.rows) {
      if (tr.classList.contains("stack")) all.at(-1).push(tr); else all.push([tr]);
    }
    return all;
  };

  function sortable(table) {
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    heads.forEach((th, column) => {
      if (!th.textContent) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...th.childNodes);
      th.append(button);
      button.addEventListener("click", () => {
        const numeric = th.classList.contains("n");
        const was = th.getAttribute("aria-sort");
        const down = was ? was === "ascending" : numeric;
        heads.forEach(h => h.removeAttribute("aria-sort"));
        th.setAttribute("aria-sort", down ? "descending" : "ascending");
        const sign = down ? -1 : 1;
        const keyed = rows(body).map(group => {
          const text = group[0].cells[column].textContent;
          return { group, text, n: figure(text) };
        });
        keyed.sort((a, b) => {
          if (!numeric) return sign * a.text.localeCompare(b.text, "en", { numeric: true });
          if (isNaN(a.n) || isNaN(b.n)) return isNaN(a.n) - isNaN(b.n); // what is no figure comes last
          return sign * (a.n - b.n);
        });
        body.append(...keyed.flatMap(k => k.group));
        all(table);
      });
    });
  }

  // all shows the rows that were cut, since the dearest need not be among the others.
  function all(table) {
    table.classList.remove("cut");
    const more = table.closest("section").querySelector(".more button");
    if (more) more.remove();
  }

  function filterable(table, name) {
    const input = document.createElement("input");
    input.type = "search";
    input.placeholder = "filter";
    input.setAttribute("aria-label", "Filter " + name);
    const shown = document.createElement("span");
    shown.setAttribute("role", "status");
    input.addEventListener("input", () => {
      all(table);
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const groups = rows(table.tBodies[0]);
      let n = 0;
      for (const group of groups) {
        const text = group.map(tr => [...tr.cells].map(c => c.textContent).join(" ")).join(" ").toLowerCase();
        const hit = words.every(w => text.includes(w));
        group.forEach(tr => tr.hidden = !hit);
        n += hit;
      }
      shown.textContent = words.length ? n + " of " + groups.length : "";
    });
    const bar = document.createElement("p");
    bar.className = "filter";
    bar.append(input, shown);
    table.parentElement.before(bar);
  }

  for (const table of document.querySelectorAll(".scroll > table")) {
    const section = table.closest("section");
    if (table.classList.contains("fixed")) continue; // rows belong together
    if (table.rows.length > 2) sortable(table);
    if (rows(table.tBodies[0]).length > 8) filterable(table, section.querySelector("h2").textContent);
    if (table.classList.contains("cut")) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "show " + table.tBodies[0].querySelectorAll(".rest").length + " more";
      button.addEventListener("click", () => all(table));
      section.querySelector(".more").prepend(button, " ");
    }
  }
})();
