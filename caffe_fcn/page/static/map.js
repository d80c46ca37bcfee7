// The map of a dense net over the picture: a chooser of classes, colours, and what each cell sees. All numbers
// come from the page: `quantised.py` describes the codes, `dense.py` the document.
(() => {
  "use strict";

  const FIELD = "#fff", CROP = "#56b4e9", HALO = "rgba(0, 0, 0, .65)";
  const JUMP = 10, MOST_DECIMALS = 6;
  const FULL = 0.75; // the weight of the highest colour at this opacity is that in the drawings of `run`

  /** Returns the codes of a map: the top classes of each cell, their values, and the values of classes. */
  async function unpacked(map) {
    const packed = Uint8Array.from(atob(map.data), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer()), half = bytes.length / 2;
    const codes = Uint16Array.from({ length: half }, (_, at) => bytes[at] + 256 * bytes[half + at]);
    const cells = map.rows.sees.length * map.columns.sees.length;
    const plane = (place) => codes.subarray(place * cells, (place + 1) * cells);
    return {
      top: (rank, cell) => plane(rank)[cell],
      value: (rank, cell) => plane(map.top + rank)[cell],
      of: (place) => plane(2 * map.top + place),
    };
  }

  /** A class of the document by the names of its fields. */
  const known = ([number, name, first, digits, peak]) => ({ number, name, first, digits, peak });

  const signed = (text) => text.replaceAll("-", "\u2212"); // the minus sign of the whole page

  /** Returns the decimal that a code stands for, with all its digits. */
  function decimal({ first, digits }, code) {
    const whole = first + code;
    if (digits <= 0) return signed(String(whole * 10 ** -digits));
    if (digits > MOST_DECIMALS) return signed(Number(`${whole}e-${digits}`).toExponential());
    return signed((whole / 10 ** digits).toFixed(digits));
  }

  /** Returns the values of the lowest and the highest colour. */
  function rangeOf(state) {
    if (state.range === "fixed") return state.map.span;
    const { first, digits } = state.chosen;
    let low = Infinity, high = -Infinity;
    for (const code of state.plane) {
      if (code < low) low = code;
      if (code > high) high = code;
    }
    return [(first + low) * 10 ** -digits, (first + high) * 10 ** -digits];
  }

  const short = (value) => signed(String(Number(value.toPrecision(4)))); // a number for the scale

  /** Returns the opacity of a colour, from 0 to 1. */
  const alpha = (state, level) => Math.min(1, state.shares[level] / FULL * state.opacity);

  /** Returns the place of a value of the chosen class between the lowest and the highest colour, from 0 to 1. */
  function shareOf({ chosen, ends: [low, high] }, code) {
    const value = (chosen.first + code) * 10 ** -chosen.digits;
    return high > low ? Math.max(0, Math.min(1, (value - low) / (high - low))) : 0;
  }

  /** Paints the cells of the chosen class, one pixel for each, on a canvas of its own, and the scale. */
  function paint(state) {
    const { map, plane, heat, ramp } = state;
    heat.width = map.columns.sees.length;
    heat.height = map.rows.sees.length;
    const image = new ImageData(heat.width, heat.height);
    state.ends = rangeOf(state);
    plane.forEach((code, cell) => {
      const level = Math.round(255 * shareOf(state, code));
      image.data.set(ramp[level], 4 * cell);
      image.data[4 * cell + 3] = Math.round(255 * alpha(state, level));
    });
    heat.getContext("2d").putImageData(image, 0, 0);
    drawScale(state);
  }

  /** Draws the colours with their numbers: over black in the upper half, over white in the lower. */
  function drawScale(state) {
    const canvas = state.scale, ctx = canvas.getContext("2d");
    const { width, height } = canvas;
    ctx.fillStyle = "#000";
    ctx.fillRect(0, 0, width, height / 2);
    ctx.fillStyle = "#fff";
    ctx.fillRect(0, height / 2, width, height / 2);
    for (let x = 0; x < width; x++) {
      const level = Math.floor(x * 256 / width);
      ctx.fillStyle = `rgba(${state.ramp[level].join()}, ${alpha(state, level)})`;
      ctx.fillRect(x, 0, 1, height);
    }
    const [low, high] = state.ends;
    state.tell("low", short(low));
    state.tell("middle", high > low ? short((low + high) / 2) : "");
    state.tell("high", high > low ? short(high) : "");
  }

  /** Draws the rectangle of pixels in ROWS and COLUMNS as far as the picture has them; a side is dashed where the
   * rectangle continues beyond the picture. WIDTH is that of the line, in pixels of the picture; it is in COLOUR on a
   * dark halo, so that it is seen on every ground. */
  function frame(ctx, [high, wide], rows, columns, width, colour) {
    if (rows[0] >= rows[1] || columns[0] >= columns[1]) return;
    const [top, bottom] = [Math.max(rows[0], 0) + width / 2, Math.min(rows[1], high) - width / 2];
    const [left, right] = [Math.max(columns[0], 0) + width / 2, Math.min(columns[1], wide) - width / 2];
    const sides = [
      [rows[0] < 0, left, top, right, top], [rows[1] > high, left, bottom, right, bottom],
      [columns[0] < 0, left, top, left, bottom], [columns[1] > wide, right, top, right, bottom],
    ];
    ctx.lineCap = "square";
    for (const [style, wider] of [[HALO, 2.2], [colour, 1]]) {
      ctx.strokeStyle = style;
      ctx.lineWidth = wider * width;
      for (const [dashed, x, y, toX, toY] of sides) {
        ctx.setLineDash(dashed ? [3 * width, 4 * width] : []);
        ctx.beginPath();
        ctx.moveTo(x, y);
        ctx.lineTo(toX, toY);
        ctx.stroke();
      }
    }
  }

  /** Returns the span of pixels in which cell INDEX of an axis is drawn. */
  const drawn = (axis, index) => [axis.start + index * axis.step, Math.min(axis.end, axis.start + (index + 1) * axis.step)];

  /** Returns the cell of an axis at a place in pixels of the picture; -1 where there is none. */
  function cellAt(axis, place) {
    const index = Math.floor((place - axis.start) / axis.step);
    return place < axis.end && index >= 0 && index < axis.sees.length ? index : -1;
  }

  /** Hatches the pixels without a cell, as `bare.py` does in the drawings of `run`. */
  function hatch(ctx, { map: { rows, columns }, size: [high, wide], bare, opacity }) {
    const width = Math.max(5, Math.round(Math.max(ctx.canvas.width, ctx.canvas.height) / 150));
    const tile = document.createElement("canvas"), side = 2 * width;
    tile.width = tile.height = side;
    const image = new ImageData(side, side), opaque = Math.round(255 * Math.min(1, bare.share / FULL * opacity));
    for (let at = 0; at < side * side; at++) {
      const stripe = Math.floor((Math.floor(at / side) + at % side) / width) % 2;
      image.data.set([...bare.stripes[stripe], opaque], 4 * at);
    }
    tile.getContext("2d").putImageData(image, 0, 0);
    ctx.beginPath();
    ctx.rect(0, 0, wide, high);
    ctx.rect(columns.start, rows.start, columns.end - columns.start, rows.end - rows.start);
    ctx.save();
    ctx.clip("evenodd");
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.fillStyle = ctx.createPattern(tile, "repeat");
    ctx.fillRect(0, 0, ctx.canvas.width, ctx.canvas.height);
    ctx.restore();
  }

  /** Draws the heat map and the rectangles of the cell under the pointer. */
  function draw(state) {
    const { canvas, map, size: [high, wide] } = state;
    const { rows, columns } = map;
    const shown = canvas.getBoundingClientRect(), density = window.devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(shown.width * density));
    canvas.height = Math.max(1, Math.round(shown.height * density));
    const ctx = canvas.getContext("2d");
    ctx.setTransform(canvas.width / wide, 0, 0, canvas.height / high, 0, 0);
    hatch(ctx, state);
    ctx.save();
    ctx.beginPath();
    ctx.rect(columns.start, rows.start, columns.end - columns.start, rows.end - rows.start);
    ctx.clip();
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(state.heat, columns.start, rows.start, columns.step * columns.sees.length, rows.step * rows.sees.length);
    ctx.restore();
    if (!state.cell) return;
    const [row, column] = state.cell, width = 2 * density * wide / canvas.width;
    frame(ctx, state.size, drawn(rows, row), drawn(columns, column), width / 2, FIELD);
    frame(ctx, state.size, rows.sees[row], columns.sees[column], width, FIELD);
    if (rows.crops) frame(ctx, state.size, rows.crops[row], columns.crops[column], width, CROP);
  }

  /** Returns a rectangle in words: its pixels in the picture, its size, and what of it is padding. */
  function inWords([high, wide], rows, columns) {
    if (rows[0] >= rows[1] || columns[0] >= columns[1]) return "no pixels";
    const span = ([first, end], size) => `${Math.max(0, first)}–${Math.min(size, end) - 1}`;
    const beyond = [[-rows[0], "top"], [rows[1] - high, "bottom"], [-columns[0], "left"], [columns[1] - wide, "right"]];
    const padded = beyond.filter(([pixels]) => pixels > 0).map(([pixels, side]) => `${pixels} at the ${side}`);
    const within = `rows ${span(rows, high)}, columns ${span(columns, wide)}`;
    const size = `${rows[1] - rows[0]}×${columns[1] - columns[0]} pixels`;
    return `${size}: ${within}${padded.length ? `; beyond the picture ${padded.join(", ")}` : ""}`;
  }

  /** Returns the place of a cell in words; several cells of the net may be one here. */
  function placeInWords({ cells, pooled }, [row, column]) {
    const span = (index, count) => {
      const first = index * pooled, last = Math.min(count, first + pooled) - 1;
      return first === last ? `${first}` : `${first}–${last}`;
    };
    const [down, across] = [span(row, cells[0]), span(column, cells[1])];
    const place = pooled > 1 ? `Cells in rows ${down}, columns ${across}` : `Cell in row ${down}, column ${across}`;
    return `${place} of ${cells[0]}×${cells[1]}`;
  }

  /** Writes what is known of the cell under the pointer. */
  function report(state) {
    const { map, codes, cell, size } = state;
    state.mark.hidden = !cell;
    if (!cell) {
      state.tell("where", "No answer here: no cell has its middle at this place.");
      state.tell("value", "");
      for (const { line } of state.lines) line.hidden = true;
      state.tell("field", "–");
      state.tell("crop", "–");
      return;
    }
    const [row, column] = cell, at = row * map.columns.sees.length + column;
    const value = decimal(state.chosen, state.plane[at]);
    state.tell("where", placeInWords(map, cell));
    state.tell("value", `${state.chosen.name}: ${value}`);
    state.mark.style.left = `${100 * shareOf(state, state.plane[at])}%`;
    state.lines.forEach(({ line, button, number }, rank) => {
      line.hidden = rank >= map.top;
      if (line.hidden) return;
      const place = codes.top(rank, at), each = known(map.classes[place]);
      button.textContent = each.name;
      button.value = place;
      button.disabled = place >= map.shown;
      line.classList.toggle("map-chosen", each.number !== null && each.number === state.chosen.number);
      const [first, digits] = map.listed || [each.first, each.digits];
      number.textContent = decimal({ first, digits }, codes.value(rank, at));
    });
    state.tell("field", inWords(size, map.rows.sees[row], map.columns.sees[column]));
    if (map.rows.crops) state.tell("crop", inWords(size, map.rows.crops[row], map.columns.crops[column]));
  }

  /** Moves to CELL, a row and a column, or to none. */
  function moveTo(state, cell) {
    if (String(cell) === String(state.cell)) return;
    state.cell = cell;
    report(state);
    draw(state);
  }

  /** Moves to the cell where the chosen class is highest. */
  function moveToPeak(state) {
    const wide = state.map.columns.sees.length;
    moveTo(state, [Math.floor(state.chosen.peak / wide), state.chosen.peak % wide]);
  }

  function chooseClass(state, place) {
    state.control("class").value = String(place);
    state.chosen = known(state.map.classes[place]);
    state.plane = state.codes.of(place);
    paint(state);
    state.cell = undefined;
    moveToPeak(state);
  }

  /** Fills the controls for a map, and shows it. */
  async function chooseMap(state, index) {
    const map = state.maps[index];
    state.map = map;
    state.codes = await unpacked(map);
    if (state.map !== map) return; // another one was chosen meanwhile
    const chooser = state.control("class");
    chooser.replaceChildren();
    map.classes.slice(0, map.shown).forEach((fields, place) => {
      const each = known(fields), peak = decimal(each, state.codes.of(place)[each.peak]);
      chooser.add(new Option(`${each.name}  ·  highest ${peak}`, String(place)));
    });
    const [fixed, own] = state.control("range").options, kind = map.scores ? "class" : "channel";
    fixed.textContent = `fixed, ${short(map.span[0])} to ${short(map.span[1])}`;
    own.textContent = `from the values of the ${kind}`;
    state.tell("kind", map.scores ? "Class" : "Channel");
    state.tell("caption", map.caption);
    state.part("crop").hidden = !map.rows.crops;
    for (const note of state.root.querySelectorAll("[data-map-note]")) {
      note.hidden = note.dataset.mapNote !== String(index);
    }
    chooseClass(state, map.chosen);
  }

  /** Returns the cell that a key leads to from CELL; undefined for other keys. */
  function keyed(event, { rows, columns }, [row, column]) {
    const step = event.shiftKey ? JUMP : 1;
    const ways = {
      ArrowUp: [row - step, column], ArrowDown: [row + step, column],
      ArrowLeft: [row, column - step], ArrowRight: [row, column + step],
      Home: [row, 0], End: [row, Infinity],
    };
    const way = ways[event.key], within = (index, axis) => Math.max(0, Math.min(axis.sees.length - 1, index));
    return way && [within(way[0], rows), within(way[1], columns)];
  }

  function listen(state) {
    const { canvas } = state;
    const point = (event) => {
      const shown = canvas.getBoundingClientRect();
      const row = cellAt(state.map.rows, (event.clientY - shown.top) / shown.height * state.size[0]);
      const column = cellAt(state.map.columns, (event.clientX - shown.left) / shown.width * state.size[1]);
      moveTo(state, row < 0 || column < 0 ? null : [row, column]);
    };
    canvas.addEventListener("pointerdown", point);
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const cell = keyed(event, state.map, state.cell || [0, 0]);
      if (cell) moveTo(state, cell);
      else if (event.key === "Enter") moveToPeak(state);
      else return;
      event.preventDefault();
    });
    const on = (name, kind, act) => state.control(name).addEventListener(kind, (event) => act(event.target));
    on("map", "change", (control) => chooseMap(state, Number(control.value)));
    on("class", "change", (control) => chooseClass(state, Number(control.value)));
    on("range", "change", (control) => { state.range = control.value; paint(state); report(state); draw(state); });
    on("opacity", "input", (control) => { state.opacity = control.value / 100; paint(state); draw(state); });
    on("grey", "change", (control) => state.stage.classList.toggle("map-grey", control.checked));
    new ResizeObserver(() => draw(state)).observe(canvas);
  }

  /** Makes the lines of the table, which are filled for each cell. */
  function tableLines(state, count) {
    const body = state.root.querySelector("tbody");
    return Array.from({ length: count }, () => {
      const line = body.insertRow(), button = document.createElement("button"), name = line.insertCell();
      button.type = "button";
      button.addEventListener("click", () => chooseClass(state, Number(button.value)));
      name.append(button);
      return { line, button, number: line.insertCell() };
    });
  }

  async function start(root) {
    const page = JSON.parse(root.querySelector("script").textContent);
    const find = (selector) => root.querySelector(selector);
    const control = (name) => find(`[data-control="${name}"]`);
    const state = {
      ...page, root, control,
      part: (name) => find(`[data-part="${name}"]`),
      tell: (name, text) => { find(`[data-text="${name}"]`).textContent = text; },
      stage: find(".map-stage"), canvas: find(".map-stage canvas"), scale: find(".map-scale canvas"),
      mark: find(".map-mark"), heat: document.createElement("canvas"),
      range: control("range").value, opacity: control("opacity").value / 100, cell: undefined,
    };
    const first = page.maps[Number(control("map").value)];
    if (first.faint) state.range = control("range").value = "own";
    state.lines = tableLines(state, Math.max(...page.maps.map((map) => map.top)));
    state.stage.style.setProperty("--map-ratio", String(page.size[1] / page.size[0]));
    find(".map-scale").style.setProperty("--map-ratio", String(page.size[1] / page.size[0]));
    state.stage.classList.toggle("map-grey", control("grey").checked);
    await chooseMap(state, Number(control("map").value));
    for (const part of [".map-controls", ".map-scale", ".map-side"]) find(part).hidden = false;
    draw(state);
    listen(state);
  }

  for (const root of document.querySelectorAll("[data-map]")) {
    start(root).catch(() => { root.querySelector(".map-failed").hidden = false; });
  }
})();
