"use strict";
(() => {
  const byId = (id) => document.getElementById(id);

  // Colours: automatic, light, dark.
  const themes = ["automatic", "light", "dark"];
  const toggle = byId("theme");
  const stored = () => { try { return localStorage.getItem("caffe-fcn-theme"); } catch { return null; } };
  let theme = Math.max(0, themes.indexOf(stored()));
  const paint = () => {
    if (theme) document.documentElement.dataset.theme = themes[theme];
    else delete document.documentElement.dataset.theme;
    toggle.textContent = `Colours: ${themes[theme]}`;
  };
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    theme = (theme + 1) % themes.length;
    try { localStorage.setItem("caffe-fcn-theme", themes[theme]); } catch { /* the choice is not kept */ }
    paint();
  });
  paint();

  // A link to a layer opens it.
  const show = (id) => {
    const body = byId(id);
    const layer = body && body.closest("details.net-layer");
    if (!layer) return;
    layer.hidden = false;
    layer.open = true;
    layer.scrollIntoView({ block: "start" });
    body.focus({ preventScroll: true });
  };
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element && event.target.closest("a");
    const target = link && (link.getAttribute("href") || link.getAttribute("xlink:href"));
    if (target && target.startsWith("#layer-")) setTimeout(() => show(target.slice(1)));
  });
  const follow = () => show(location.hash.slice(1));
  addEventListener("hashchange", follow);
  follow();

  // The graph is as wide as its box, if it can be read then. Buttons and the keys + - 0 change its size.
  const box = byId("graph-box");
  const drawing = box && box.querySelector("svg");
  if (drawing) {
    const width = drawing.width.baseVal.value;
    const height = drawing.height.baseVal.value;
    const fitting = () => Math.min(1, (box.clientWidth - 2) / width);
    let scale = 1;
    const zoom = (to) => {
      const next = Math.min(4, Math.max(0.05, to));
      const middle = [(box.scrollLeft + box.clientWidth / 2) / scale, (box.scrollTop + box.clientHeight / 2) / scale];
      scale = next;
      drawing.style.width = `${width * scale}px`;
      drawing.style.height = `${height * scale}px`;
      box.scrollLeft = middle[0] * scale - box.clientWidth / 2;
      box.scrollTop = middle[1] * scale - box.clientHeight / 2;
    };
    const steps = { in: () => zoom(scale * 1.25), out: () => zoom(scale / 1.25), fit: () => zoom(fitting()), one: () => zoom(1) };
    const tools = byId("graph-tools");
    tools.hidden = false;
    tools.addEventListener("click", (event) => {
      const step = event.target.closest("button")?.dataset.zoom;
      if (step) steps[step]();
    });
    box.addEventListener("keydown", (event) => {
      const step = event.ctrlKey || event.metaKey || event.altKey ? null : { "+": "in", "=": "in", "-": "out", 0: "fit", 1: "one" }[event.key];
      if (!step) return;
      steps[step]();
      event.preventDefault();
    });
    zoom(Math.max(0.5, fitting()));
    box.scrollTop = 0;
    const first = drawing.querySelector(".layer");
    if (first) {
      const [inside, outside] = [first.getBoundingClientRect(), box.getBoundingClientRect()];
      box.scrollLeft += inside.left + inside.width / 2 - outside.left - outside.width / 2;
    }
  }

  // The table of costs is sorted by the buttons in its headings; values that are unknown come last.
  const table = byId("costs-table");
  if (table) {
    const rows = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    const key = (row, column) => {
      const cell = row.cells[column];
      if (!("value" in cell.dataset)) return cell.textContent.trim();
      return cell.dataset.value === "" ? null : Number(cell.dataset.value);
    };
    const collator = new Intl.Collator("en", { numeric: true });
    const compare = (a, b) => (typeof a === "number" ? a - b : collator.compare(a, b));
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const number = head.classList.contains("number") && column > 0;
        const before = head.getAttribute("aria-sort");
        const down = before ? before === "ascending" : number;
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const found = [...rows.rows].map((row, order) => ({ row, order, key: key(row, column) }));
        found.sort((a, b) => {
          if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.order - b.order;
          return (down ? compare(b.key, a.key) : compare(a.key, b.key)) || a.order - b.order;
        });
        rows.append(...found.map((each) => each.row));
      });
    });
  }

  // The filter hides layers. The buttons open and close those that it leaves.
  const filter = byId("filter");
  if (filter) {
    const layers = [...document.querySelectorAll("details.net-layer")];
    const words = layers.map((layer) => layer.dataset.words.toLowerCase());
    byId("layer-tools").hidden = false;
    for (const [id, open] of [["open-all", true], ["close-all", false]]) {
      byId(id).addEventListener("click", () => layers.forEach((layer) => { if (!layer.hidden) layer.open = open; }));
    }
    filter.addEventListener("input", () => {
      const wanted = filter.value.trim().toLowerCase().split(/\s+/);
      let count = 0;
      layers.forEach((layer, position) => {
        layer.hidden = !wanted.every((word) => words[position].includes(word));
        count += !layer.hidden;
      });
      byId("filtered").textContent = filter.value.trim() ? `${count} of ${layers.length} layers` : "";
    });
  }
})();
