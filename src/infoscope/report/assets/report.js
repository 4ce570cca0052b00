"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figure-data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const printing = matchMedia("print");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const touch = matchMedia("(pointer: coarse)").matches;
  const PRINT_WIDTH = 640; // px: fits A4 and letter between the page's margins
  const MARKED_UP_TO = 40; // points: fewer are shown as points too
  const NAMED_UP_TO = 40; // points: of fewer the names stand beside them
  const LONGEST_TICK = 24; // characters: the pointer and the table show the whole name
  const SHADES = ["--s0", "--s1", "--s2", "--s3", "--s4"]; // from the least to the largest

  // Plotly reads some HTML in its texts; ours is text and nothing else.
  const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const themed = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  // One dashed line is a reference, in grey; all others take the palette in order.
  function colourNames(lines) {
    const reference = lines.filter((line) => line.dash).length === 1;
    let next = 0;
    return lines.map((line) => (line.dash && reference ? "--c0" : `--c${1 + (next++ % 6)}`));
  }

  // On the page, the legend and the label of the y axis are text around the plot; a saved figure carries them inside.
  function saved(figure, data) {
    const page = layout(figure, 800, 450), font = { color: themed("--soft"), size: 13 };
    const keys = figure.lines.length > 1 && !figure.shades.length;
    const legend = { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" };
    const title = { text: plain(figure.y_label), x: 0, xref: "container", xanchor: "left", y: 1, yref: "container", yanchor: "top", pad: { t: 14, l: 8 }, font };
    return { data, layout: { ...page, title, legend, showlegend: keys, margin: { ...page.margin, t: keys ? 80 : 48 } } };
  }

  function wrapped(text, width) {
    const most = Math.max(20, Math.floor(width / 8)), rows = [""];
    const pieces = text.split(" ").flatMap((word) => word.match(new RegExp(`.{1,${most}}`, "gsu")) ?? []);
    for (const piece of pieces) {
      const row = rows.at(-1);
      if (row && row.length + piece.length >= most) rows.push(piece);
      else rows[rows.length - 1] = row ? `${row} ${piece}` : piece;
    }
    return rows.map(plain);
  }

  // A band is one closed shape for each stretch without a gap.
  function band(line) {
    const x = [], y = [];
    let stretch = [];
    const close = () => {
      const back = stretch.slice().reverse();
      x.push(...stretch.map((i) => line.x[i]), ...back.map((i) => line.x[i]), null);
      y.push(...stretch.map((i) => line.lower[i]), ...back.map((i) => line.upper[i]), null);
      stretch = [];
    };
    line.x.forEach((value, i) => {
      if (value === null || line.lower[i] === null || line.upper[i] === null) { if (stretch.length) close(); }
      else stretch.push(i);
    });
    if (stretch.length) close();
    return { x, y };
  }

  function traces(line, colour, visible, view) {
    const name = plain(line.name);
    const common = { name, visible, hovertemplate: "%{y}" };
    if (line.kind === "bars") {
      const error = line.lower && {
        type: "data", symmetric: false, color: themed("--ink"), thickness: 1.25, width: 4,
        array: line.upper.map((v, i) => v - line.y[i]), arrayminus: line.lower.map((v, i) => line.y[i] - v),
      };
      return [{ ...common, type: "bar", x: line.x.map(plain), y: line.y, marker: { color: colour }, ...(error && { error_y: error }) }];
    }
    if (line.points) return cloud(line, colour, visible, view);
    const curve = {
      ...common, type: "scatter", mode: line.x.length > MARKED_UP_TO ? "lines" : "lines+markers", x: line.x, y: line.y,
      connectgaps: false, marker: { size: 6, color: colour },
      line: { color: colour, width: line.dash ? 1.5 : 2, dash: line.dash ? "6px,4px" : "solid", simplify: false },
    };
    if (!line.lower) return [curve];
    const shade = { ...band(line), type: "scatter", mode: "none", fill: "toself", fillcolor: colour, opacity: 0.16, hoverinfo: "skip", showlegend: false, visible };
    return [shade, curve];
  }

  // Three axes seen from one side: turned about the second one, then tilted towards the eye.
  function seen([x, y, z], view) {
    const across = Math.cos(view.turn) * x + Math.sin(view.turn) * z, deep = Math.cos(view.turn) * z - Math.sin(view.turn) * x;
    return [across, Math.cos(view.tilt) * y - Math.sin(view.tilt) * deep];
  }

  function reach(figure) {
    const sizes = figure.lines.flatMap((line) => [...line.x.map((x, i) => [x, line.y[i], line.z[i]]), line.origin ?? [0, 0, 0]]).map((p) => Math.hypot(...p));
    return sizes.reduce((a, b) => Math.max(a, b), 0) || 1;
  }

  // The places of a cloud on the page, flat or turned, and the thin lines from where its points came.
  function cloud(line, colour, visible, view) {
    const places = line.x.map((x, i) => (view ? [x, line.y[i], line.z[i]] : [x, line.y[i]])), flat = (p) => (view ? seen(p, view) : p);
    const at = places.map(flat), told = (p) => p.map((v) => Number(v.toPrecision(4))).join(", ");
    const common = { type: "scatter", name: plain(line.name), visible, hovertemplate: "%{text}" };
    const beside = line.names && line.names.length <= NAMED_UP_TO, called = line.names?.map(plain);
    const named = called && { hovertext: called, hovertemplate: "%{hovertext}<extra></extra>", ...(beside && { mode: "markers+text", text: called, textposition: "top center", textfont: { size: 11 }, cliponaxis: false }) };
    const drawn = [{ ...common, mode: "markers", x: at.map((p) => p[0]), y: at.map((p) => p[1]), text: places.map(told), marker: { size: line.names ? 7 : 5, color: colour, opacity: 0.7 }, ...named }];
    if (!line.origin) return drawn;
    const from = flat(line.origin), rays = [0, 1].map((k) => at.flatMap((p) => [from[k], p[k], null]));
    const thin = { ...common, mode: "lines", x: rays[0], y: rays[1], opacity: 0.3, hoverinfo: "skip", showlegend: false, line: { color: colour, width: 1, simplify: false } };
    const start = { ...common, mode: "markers", x: [from[0]], y: [from[1]], text: [`start: ${told(line.origin)}`], showlegend: false, marker: { size: 11, color: colour, symbol: "diamond" } };
    return [thin, start, ...drawn];
  }

  // The three axes as rays from the middle, as long as the farthest point is far.
  function rays(figure, view) {
    const far = reach(figure), tips = [[far, 0, 0], [0, far, 0], [0, 0, far]].map((tip) => seen(tip, view));
    const names = [figure.x_label, figure.y_label, figure.z_label].map(plain), soft = themed("--soft");
    return tips.map((tip, i) => ({
      type: "scatter", mode: "lines+text", x: [0, tip[0]], y: [0, tip[1]], text: ["", names[i]], textposition: "top center", textfont: { color: soft, size: 12 },
      hoverinfo: "skip", showlegend: false, line: { color: soft, width: 1 },
    }));
  }

  // A path up to a frame, and where it stands there.
  function path(line, colour, visible, at) {
    const common = { type: "scatter", name: plain(line.name), visible, connectgaps: false, x: line.x.slice(0, at + 1), y: line.y.slice(0, at + 1) };
    return [
      { ...common, mode: "lines", opacity: 0.4, hoverinfo: "skip", showlegend: false, line: { color: colour, width: 1.5, simplify: false } },
      { ...common, mode: "markers", x: [line.x[at]], y: [line.y[at]], marker: { size: 11, color: colour }, hovertemplate: "%{x}, %{y}" },
    ];
  }

  // Lines coloured by a number, and the scale that tells which: each stop of the scale is a colour of the page.
  function shades(figure) {
    const place = (v) => (figure.log_shade ? Math.log10(v) : v), values = figure.shades.map(place);
    const low = Math.min(...values), high = Math.max(...values), share = (v) => (v - low) / (high - low || 1);
    const stops = SHADES.map((name) => themed(name)), last = stops.length - 1;
    const parts = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
    const colour = (at) => {
      const k = Math.min(Math.floor(at * last), last - 1), from = parts(stops[k]), to = parts(stops[k + 1]);
      return `rgb(${from.map((v, i) => Math.round(v + (to[i] - v) * (at * last - k)))})`;
    };
    const drawn = figure.lines.map((line, i) => ({
      type: "scatter", mode: "lines+markers", name: plain(line.name), showlegend: false, x: line.x, y: line.y, text: figure.nodes.map(plain),
      opacity: 0.8, line: { color: colour(share(values[i])), width: 1, simplify: false }, marker: { size: 5, color: colour(share(values[i])) },
      hovertemplate: "%{text}: %{x}, %{y}",
    }));
    if (low === high) return drawn;
    const decades = Array.from({ length: Math.floor(high) - Math.ceil(low) + 1 }, (_, i) => Math.ceil(low) + i);
    const ticks = figure.log_shade && { tickvals: decades, ticktext: decades.map((v) => (10 ** v).toLocaleString("en")) };
    const soft = { color: themed("--soft"), size: 13 };
    const bar = { title: { text: plain(figure.shade_label), side: "right", font: soft }, thickness: 12, outlinewidth: 0, tickfont: soft, ...ticks };
    const colorscale = stops.map((stop, i) => [i / last, stop]);
    const scale = { color: [low], cmin: low, cmax: high, colorscale, showscale: true, colorbar: bar };
    return [...drawn, { type: "scatter", mode: "markers", x: [null], y: [null], showlegend: false, hoverinfo: "skip", marker: scale }];
  }

  // A number for each pair of a row and a column: a cell of the colours of the page, its number in it.
  function heat(grid) {
    const stops = SHADES.map(themed), shown = grid.values.flat().filter((v) => v !== null), soft = { color: themed("--soft"), size: 13 };
    const low = Math.min(...shown), high = Math.max(...shown), short = (v) => (v === null ? "" : String(Number(v.toPrecision(3))).replace("-", "−"));
    const told = grid.rows.map((row, i) => grid.columns.map((column, j) => {
      const error = grid.errors?.[i][j] ?? null;
      return `${plain(row)}, ${plain(column)}: ${short(grid.values[i][j])}${error === null ? "" : ` ± ${Number(error.toPrecision(2))}`}`;
    }));
    return [{
      type: "heatmap", z: grid.values, text: grid.values.map((row) => row.map(short)), texttemplate: "%{text}", customdata: told, hovertemplate: "%{customdata}<extra></extra>",
      colorscale: stops.map((stop, i) => [i / (stops.length - 1), stop]), xgap: 2, ygap: 2, hoverongaps: false, ...(low < high && { zmin: low, zmax: high }),
      colorbar: { title: { text: plain(grid.name), side: "right", font: soft }, thickness: 12, outlinewidth: 0, tickfont: soft },
    }];
  }

  // The names along an axis of cells, which stands still.
  function names(all) {
    const alike = new Set(all.map((name) => name.slice(0, LONGEST_TICK - 1))).size < new Set(all).size; // then their ends tell
    const cut = (name) => (alike ? `${name.slice(0, 8)}…${name.slice(9 - LONGEST_TICK)}` : `${name.slice(0, LONGEST_TICK - 1)}…`);
    const short = (name) => (name.length > LONGEST_TICK ? cut(name) : name);
    return { tickmode: "array", tickvals: all.map((_, i) => i), ticktext: all.map(short).map(plain), tickformat: undefined, showgrid: false, showline: false, ticks: "", fixedrange: true };
  }

  // The whole path's range, so that axes stand still while it is walked.
  function span(values, log) {
    const shown = values.filter((v) => v !== null && (!log || v > 0)).map((v) => (log ? Math.log10(v) : v));
    if (!shown.length) return undefined;
    const low = shown.reduce((a, b) => Math.min(a, b)), high = shown.reduce((a, b) => Math.max(a, b));
    const room = 0.05 * (high - low || 1);
    return [low - room, high + room];
  }

  function axis(log, range) {
    const decades = log && range ? Math.log10(range[1] / range[0]) : 0;
    return {
      type: log ? "log" : undefined, tickformat: ",~r", hoverformat: ",.6~r", automargin: true, zeroline: false, fixedrange: touch,
      gridcolor: themed("--grid"), linecolor: themed("--soft"), tickcolor: themed("--soft"), tickfont: { color: themed("--soft") },
      ...(decades > 1.5 && { dtick: Math.ceil(decades / 8) }),
    };
  }

  function categories(figure) {
    const names = [...new Set(figure.lines.flatMap((line) => line.x))];
    const short = (name) => (name.length > LONGEST_TICK ? `${name.slice(0, LONGEST_TICK - 1)}…` : name);
    return { type: "category", tickformat: undefined, tickmode: "array", tickvals: names.map(plain), ticktext: names.map(short).map(plain) };
  }

  function extent(values) {
    const shown = values.filter((v) => v !== null && v > 0);
    return shown.length ? [shown.reduce((a, b) => Math.min(a, b)), shown.reduce((a, b) => Math.max(a, b))] : null;
  }

  function layout(figure, width, height) {
    const bars = figure.lines.some((line) => line.kind === "bars");
    const grid = figure.grid, cloud = !grid && figure.lines.every((line) => line.points);
    const soft = { color: themed("--soft"), size: 13 };
    const x = axis(figure.log_x, figure.log_x && extent(figure.lines.flatMap((line) => line.x)));
    const y = axis(figure.log_y, figure.log_y && extent(figure.lines.flatMap((line) => line.y)));
    if (figure.frames.length) {
      x.range = span(figure.lines.flatMap((line) => line.x), figure.log_x);
      y.range = span(figure.lines.flatMap((line) => line.y), figure.log_y);
    }
    const held = figure.z_label && { visible: false, range: [-1.15, 1.15].map((v) => v * reach(figure)), fixedrange: true };
    return {
      width, height, showlegend: false, hovermode: figure.frames.length || figure.shades.length || cloud || grid ? "closest" : "x unified", dragmode: touch || figure.z_label ? false : "zoom", barmode: "group", bargap: 0.35,
      paper_bgcolor: themed("--paper"), plot_bgcolor: themed("--paper"), uirevision: "kept",
      font: { family: themed("--sans"), size: 13, color: themed("--ink") },
      hoverlabel: { bgcolor: themed("--paper"), bordercolor: themed("--rule"), font: { color: themed("--ink") }, namelength: -1 },
      margin: { l: 8, r: 12, t: 10, b: 8 },
      xaxis: {
        ...x, ...(bars && categories(figure)), title: { text: wrapped(figure.x_label, width - 60).join("<br>"), font: soft, standoff: 12 },
        showgrid: false, showline: true, ticks: bars ? "" : "outside", ticklen: 5, ...(grid && names(grid.columns)), ...(figure.x_names && names(figure.x_names)), ...held,
      },
      yaxis: { ...y, nticks: 6, showline: false, ticks: "", ...(cloud && { scaleanchor: "x" }), ...(grid && { ...names(grid.rows), autorange: "reversed" }), ...held },
    };
  }

  function legend(list, figure, hidden, redraw) {
    if (figure.lines.length < 2 || figure.shades.length) return;
    const colours = colourNames(figure.lines);
    list.hidden = false;
    figure.lines.forEach((line, i) => {
      const button = document.createElement("button"), name = document.createElement("span");
      button.type = "button";
      button.ariaPressed = "true";
      const mark = line.points ? `<circle cx="12" cy="6" r="4" fill="var(${colours[i]})"/>` : line.kind === "bars"
        ? `<rect x="6" width="12" height="12" rx="1" fill="var(${colours[i]})"/>`
        : `<path d="M0 6H24" stroke="var(${colours[i]})" stroke-width="${line.dash ? 1.5 : 2.5}"${line.dash ? ' stroke-dasharray="6 3"' : ""}/>`;
      button.innerHTML = `<svg viewBox="0 0 24 12" aria-hidden="true">${mark}</svg>`;
      name.textContent = line.name;
      button.append(name);
      button.addEventListener("click", () => {
        if (!hidden.delete(i)) hidden.add(i);
        button.ariaPressed = String(!hidden.has(i));
        redraw();
      });
      const item = document.createElement("li");
      item.append(button);
      list.append(item);
    });
  }

  // A slider through the frames, and a button that moves it unless the reader wants things to stand still.
  function player(box, names, show) {
    const [button, slider, told] = box.children, last = names.length - 1;
    let timer = 0;
    const go = (at) => { slider.value = at; slider.ariaValueText = told.value = names[at]; show(at); };
    const stop = () => { timer = clearInterval(timer); button.textContent = "Play"; };
    const next = () => { go(Number(slider.value) + 1); if (Number(slider.value) === last) stop(); };
    box.hidden = false;
    slider.addEventListener("input", () => { stop(); go(Number(slider.value)); });
    button.addEventListener("click", () => {
      if (timer) return stop();
      if (Number(slider.value) === last) go(0);
      timer = setInterval(next, Math.max(30, Math.min(400, 12000 / names.length)));
      button.textContent = "Pause";
    });
    const settle = () => { button.hidden = still.matches || !last; if (still.matches) stop(); };
    still.addEventListener("change", settle);
    settle();
    slider.ariaValueText = told.value = names[last];
  }

  // Sliders and the pointer turn three axes.
  function turner(box, plot, view, show) {
    const sliders = [...box.querySelectorAll("input")], degree = Math.PI / 180;
    const go = (turn, tilt) => {
      sliders.forEach((slider, i) => { slider.value = [turn, tilt][i]; slider.ariaValueText = `${slider.value}°`; });
      [view.turn, view.tilt] = sliders.map((slider) => Number(slider.value) * degree);
      show();
    };
    const now = () => sliders.map((slider) => Number(slider.value));
    let grip = null, waiting = 0;
    box.hidden = false;
    sliders.forEach((slider) => slider.addEventListener("input", () => go(...now())));
    plot.addEventListener("pointerdown", (event) => { grip = [event.clientX, event.clientY, ...now()]; plot.setPointerCapture(event.pointerId); });
    plot.addEventListener("pointermove", (event) => {
      if (!grip) return;
      const [x, y, turn, tilt] = grip, round = (turn - (event.clientX - x) / 2 + 540) % 360;
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(() => go((round < 0 ? round + 360 : round) - 180, Math.max(-90, Math.min(90, tilt + (event.clientY - y) / 2))));
    });
    for (const over of ["pointerup", "pointercancel"]) plot.addEventListener(over, () => { grip = null; });
  }

  function start(element) {
    const figure = figures[Number(element.dataset.figure)], plot = element.querySelector(".plot"), hidden = new Set();
    let at = figure.frames.length - 1;
    const view = figure.z_label && { turn: Math.PI / 6, tilt: Math.PI / 9 };
    const save = element.querySelector(".save");
    const data = () => {
      if (figure.grid) return heat(figure.grid);
      if (figure.shades.length) return shades(figure);
      const colours = colourNames(figure.lines).map(themed);
      const axes = view ? rays(figure, view) : [];
      return axes.concat(figure.lines.flatMap((line, i) => (at < 0 ? traces(line, colours[i], !hidden.has(i), view) : path(line, colours[i], !hidden.has(i), at))));
    };
    const draw = () => {
      const width = printing.matches ? Math.min(plot.clientWidth, PRINT_WIDTH) : plot.clientWidth;
      Plotly.react(plot, data(), layout(figure, width, plot.clientHeight), { displayModeBar: false, doubleClick: "reset" });
    };
    legend(element.querySelector(".legend"), figure, hidden, draw);
    element.querySelector(".undrawn").remove();
    plot.classList.add("drawn");
    save.hidden = false;
    save.addEventListener("click", () => Plotly.downloadImage(saved(figure, data()), { format: "svg", filename: figure.title, width: 800, height: 450 }));
    draw();
    if (view) turner(element.querySelector(".turner"), plot, view, draw);
    if (at >= 0) player(element.querySelector(".player"), figure.frames, (frame) => { at = frame; draw(); });
    return draw;
  }

  const draws = [...document.querySelectorAll("[data-figure]")].map(start);
  const redraw = () => draws.forEach((draw) => draw());
  let waiting = 0;
  addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(redraw); });
  dark.addEventListener("change", redraw);
  printing.addEventListener("change", redraw);

  async function copy(element) {
    try {
      await navigator.clipboard.writeText(element.textContent);
    } catch { // no permission: leave it selected for the keyboard
      getSelection().selectAllChildren(element);
      return "Selected";
    }
    return "Copied";
  }

  for (const button of document.querySelectorAll(".copy")) {
    const box = button.closest(".command");
    button.hidden = false;
    button.addEventListener("click", async () => {
      button.textContent = await copy(box.querySelector("code"));
      box.querySelector("[role=status]").textContent = button.textContent;
      setTimeout(() => { button.textContent = "Copy"; box.querySelector("[role=status]").textContent = ""; }, 2000);
    });
  }
})();
