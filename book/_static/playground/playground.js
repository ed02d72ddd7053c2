/* The playground's view: three networks in training, drawn as they learn. It knows how to draw and
   when; everything that is learned happens in training.js. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const root = document.getElementById("playground");
  if (!root) return;

  const { INPUTS, EPOCHS, THRESHOLD } = Polarity;
  const TRAINING = 5; // milliseconds of a frame for training; drawing needs the rest of its 16
  const LATE = 22; // milliseconds from frame to frame at which less is drawn in each
  const FLASH = 450; // milliseconds that a flip or a reset stays visible while networks train
  const SIDE = 37; // points of the decision map, each way
  const REACH = 1.15; // the map's half width
  const WORST = 0.6; // top of the error's axis
  // Names, colours (on a light page, on a dark one), dashes and markers are those of the figures.
  const LOOK = {
    frozen_sufficient: { name: "Frozen, sufficient", color: ["#0072b2", "#6cb8e6"], dash: [], marker: circle },
    frozen_random: { name: "Frozen, random", color: ["#d55e00", "#f39157"], dash: [9, 4], marker: square },
    fluid_random: { name: "Fluid, random", color: ["#767676", "#b9b9b9"], dash: [2, 2.5], marker: triangle },
  };
  const THEMES = {
    light: {
      ink: "#22262a", ground: "#ffffff", grid: "#d4d9de", plus: "#0072b2", minus: "#d55e00", flip: "#a0417c",
      yes: [189, 223, 243], no: [252, 228, 178], shade: 0,
    },
    dark: {
      ink: "#e4e6e8", ground: "#121417", grid: "#444c55", plus: "#6cb8e6", minus: "#f39157", flip: "#f0e442",
      yes: [30, 76, 107], no: [104, 66, 10], shade: 1,
    },
  };
  const FONT = "12px system-ui, sans-serif";
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  const find = (name) => root.querySelector(`[data-part="${name}"]`);
  const settings = {
    units: find("units"), samples: find("samples"), lr: find("lr"), speed: find("speed"),
    rule: find("rule"), seed: find("seed"),
  };
  const surface = (canvas) => ({ canvas, c: canvas.getContext("2d"), width: 0, height: 0, ratio: 1 });
  const cards = Polarity.CONDITIONS.map((condition) => {
    const card = root.querySelector(`[data-condition="${condition}"]`);
    const inside = (name) => card.querySelector(`[data-part="${name}"]`);
    return {
      look: LOOK[condition],
      map: surface(inside("map")),
      net: surface(inside("net")),
      marks: surface(inside("marks")), // what has just happened, on top of the network
      label: { map: inside("map").getAttribute("aria-label"), net: inside("net").getAttribute("aria-label") },
      reached: inside("reached"), error: inside("error"), flips: inside("flips"), resets: inside("resets"),
    };
  });
  const curves = surface(find("curves"));
  const surfaces = [...cards.flatMap((card) => [card.map, card.net, card.marks]), curves];
  const epochs = find("epoch");
  const play = find("play");
  const status = find("status");

  let experiment;
  let theme;
  let running = false;
  let owed = 0; // steps that time has brought and that have not been made
  let last = 0; // when the last frame began
  let gap = 0; // milliseconds from frame to frame, smoothed
  let pictures = 4; // how many of the four a frame draws: the three cards' and the curves
  let turn = 0; // the one that is next
  let told = 0; // networks that have been reported at the threshold

  /* --- Settings ---------------------------------------------------------------------------------- */

  const rate = () => Number((10 ** Number(settings.lr.value)).toPrecision(2));

  function show() {
    for (const [name, input] of Object.entries(settings)) {
      const output = root.querySelector(`output[for="pg-${name}"]`);
      if (!output) continue;
      const value = { lr: rate, speed }[name]?.() ?? input.value;
      output.textContent = name === "speed" ? `${value} epochs/s` : value;
      input.setAttribute("aria-valuetext", name === "speed" ? `${passes(Number(value))} a second` : value);
    }
  }

  /** A seed as the address can hand it on: whole, and within the field's limits. */
  const whole = (value, { min, max }) => Math.min(Math.max(Math.trunc(Number(value)) || 0, min), max);

  /** Whoever wants no motion gets two epochs a second at most. */
  const speed = () => (calm.matches ? Math.min(2, settings.speed.value) : Number(settings.speed.value));

  function restart() {
    experiment = new Polarity.Experiment({
      units: Number(settings.units.value),
      samples: Number(settings.samples.value),
      lr: rate(),
      rule: settings.rule.value,
      seed: whole(settings.seed.value, settings.seed),
    });
    cards.forEach((card, i) => {
      card.network = experiment.networks[i];
      card.drawn = -1; // the step that was drawn last
      card.noticed = 0; // the step up to which flips and resets are marked
      card.edges = card.network.layers.map(({ weight }) => ({
        at: new Float64Array(weight.length).fill(-Infinity), // when it was marked last
        shade: new Uint8Array(weight.length),
        ends: new Float32Array(4 * weight.length), // of the edges: x, y, x, y
      }));
    });
    curves.drawn = -1;
    owed = 0;
    told = 0;
    status.textContent = "";
    play.textContent = running ? "Pause" : "Play";
    show();
    place();
    rest();
  }

  /** The address keeps the settings. (Called sparingly: browsers limit how often it may change.) */
  function remember() {
    settings.seed.value = whole(settings.seed.value, settings.seed); // what has been run
    const words = Object.entries(settings)
      .filter(([name]) => name !== "speed")
      .map(([name, input]) => `${name}=${name === "lr" ? rate() : input.value}`);
    history.replaceState(null, "", `#${words.join("&")}`);
  }

  /** Take settings from `units=5&lr=0.01`; what makes no sense is passed over. True if any did. */
  function recall(words) {
    let any = false;
    for (const pair of words.split("&")) {
      const [name, value] = pair.split("=");
      const input = Object.hasOwn(settings, name) ? settings[name] : null;
      if (!input || !value) continue;
      if (name === "rule") {
        if (!Polarity.RULES.includes(value)) continue;
        input.value = value;
      } else {
        const number = name === "lr" ? Math.log10(Number(value)) : Number(value);
        if (!Number.isFinite(number)) continue;
        input.value = name === "seed" ? whole(number, input) : number;
      }
      any = true;
    }
    return any;
  }

  /* --- Words for those who do not see the pictures ------------------------------------------------ */

  const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;
  const passes = (n) => (n === 1 ? "1 epoch" : `${n} epochs`);

  function summary() {
    const parts = cards.map(({ look }, i) => {
      const reached = experiment.reached[i];
      const when = reached === null ? "has not reached 90\u00a0%" : `reached 90\u00a0% after ${passes(reached)}`;
      return `${look.name}: ${percent(experiment.errors[i].at(-1))} error, ${when}`;
    });
    return `After ${passes(experiment.epoch)}. ${parts.join(". ")}.`;
  }

  function announce() {
    const there = cards.filter((_, i) => experiment.reached[i] !== null);
    if (there.length === told) return;
    told = there.length;
    const words = cards.flatMap(({ look }, i) =>
      experiment.reached[i] === null ? [] : [`${look.name}: 90\u00a0% after ${passes(experiment.reached[i])}`],
    );
    status.textContent = `${words.join(". ")}.`;
  }

  function describe() {
    const name = ({ canvas }, text) => canvas.setAttribute("aria-label", text);
    name(curves, `Validation error of the three networks against the epoch. ${summary()}`);
    cards.forEach((card, i) => {
      const { flips, resets } = card.network;
      const error = percent(experiment.errors[i].at(-1));
      name(card.map, `${card.label.map} After ${passes(experiment.epoch)}: ${error} validation error.`);
      name(card.net, `${card.label.net} So far ${flips} sign flips and ${resets} resets.`);
    });
  }

  /* --- Running ------------------------------------------------------------------------------------ */

  function setRunning(on) {
    running = on;
    play.textContent = on ? "Pause" : experiment.epoch >= EPOCHS ? "Run again" : "Play";
    if (on) {
      last = performance.now();
      owed = 1;
      gap = 0;
      pictures = 4;
      requestAnimationFrame(frame);
    } else {
      status.textContent = summary();
      rest();
    }
  }

  function frame(now) {
    if (!running) return;
    const begun = performance.now();
    const { epoch, stepsPerEpoch } = experiment;
    const passed = Math.max(now - last, 0);
    const pace = (stepsPerEpoch * speed()) / 1000;
    last = now;
    owed = Math.min(owed + passed * pace, Math.max(100 * pace, stepsPerEpoch));
    // Whoever wants no motion gets whole epochs, one picture for each.
    const batch = calm.matches ? stepsPerEpoch : 1;
    while (owed >= batch && experiment.epoch < EPOCHS && performance.now() - begun < TRAINING) {
      if (batch === 1) experiment.step();
      else while (!experiment.step());
      owed -= batch;
    }
    if (experiment.epoch > epoch) announce();
    if (experiment.epoch >= EPOCHS) setRunning(false);
    else {
      // A machine that cannot keep up draws fewer pictures a frame, each in its turn.
      gap += 0.1 * (Math.min(passed, 100) - gap);
      if (gap > LATE && pictures > 1) {
        pictures -= 1;
        gap = 0;
      }
      draw(now, calm.matches ? 4 : pictures);
      requestAnimationFrame(frame);
    }
    root.dataset.frame = (performance.now() - begun).toFixed(2);
  }

  function oneEpoch() {
    if (experiment.epoch < EPOCHS) while (!experiment.step());
    setRunning(false);
  }

  /* --- What a frame draws: only what has changed ----------------------------------------------------- */

  function draw(now, many) {
    for (const card of cards) drawMarks(card, now);
    for (; many > 0; many--) {
      if (turn < cards.length) drawCard(cards[turn], experiment.reached[turn], experiment.errors[turn].at(-1));
      else if (curves.drawn !== experiment.epoch) {
        curves.drawn = experiment.epoch;
        drawCurves();
        tell(epochs, String(experiment.epoch));
      }
      turn = (turn + 1) % (cards.length + 1);
    }
  }

  function drawCard(card, reached, error) {
    const { network } = card;
    if (card.drawn === network.steps) return;
    card.drawn = network.steps;
    drawMap(card);
    drawNetwork(card);
    tell(card.flips, network.flips.toLocaleString("en"));
    tell(card.resets, network.resets.toLocaleString("en"));
    tell(card.reached, reached === null ? (experiment.epoch >= EPOCHS ? `not in ${EPOCHS}` : "–") : String(reached));
    tell(card.error, percent(error));
  }

  /** All of it, and in words: nothing moves until the reader does something. */
  function rest() {
    for (const each of [...cards, curves]) each.drawn = -1;
    draw(performance.now(), 4);
    if (!running) describe();
  }

  function tell(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  /* --- Sizes and places ------------------------------------------------------------------------------ */

  function size({ canvas }, width, height) {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const pixels = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) [canvas.width, canvas.height] = pixels;
    return { width, height, ratio };
  }

  /** Measure the canvases, and lay out what does not move: samples and edges. */
  function place() {
    for (const each of surfaces) {
      Object.assign(each, size(each, each.canvas.clientWidth, each.canvas.clientHeight));
    }
    for (const card of cards) {
      const { width, height } = card.net;
      const { x, y, n } = experiment.train;
      card.ones = new Path2D();
      card.zeros = new Path2D();
      for (let i = 0; i < n; i++) {
        const px = across(card.map, x[i * INPUTS]), py = down(card.map, x[i * INPUTS + 1]);
        if (y[i] > 0.5) circle(card.ones, px, py, 2.4);
        else cross(card.zeros, px, py, 2.6);
      }
      const units = card.network.width;
      const [inputs, outputs] = card.edges;
      for (let h = 0; h < units; h++) {
        for (let k = 0; k < INPUTS; k++) {
          inputs.ends.set([INPUT_X, inputY(k, height), width / 2, unitY(h, units, height)], 4 * (k * units + h));
        }
        outputs.ends.set([width / 2, unitY(h, units, height), width - OUTPUT_X, height / 2], 4 * h);
      }
    }
  }

  const INPUT_X = 30; // room for the inputs' names
  const OUTPUT_X = 16;
  const across = ({ width }, v) => ((v / REACH + 1) / 2) * width;
  const down = ({ height }, v) => ((1 - v / REACH) / 2) * height;
  const inputY = (k, height) => ((k + 0.5) / INPUTS) * height;
  const unitY = (h, units, height) => ((h + 0.5) / units) * height;

  function cleared({ c, width, height, ratio }) {
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    c.globalAlpha = 1;
    c.setLineDash([]);
    return c;
  }

  function circle(path, x, y, r) {
    path.moveTo(x + r, y);
    path.arc(x, y, r, 0, 2 * Math.PI);
  }

  function cross(path, x, y, r) {
    path.moveTo(x - r, y - r);
    path.lineTo(x + r, y + r);
    path.moveTo(x - r, y + r);
    path.lineTo(x + r, y - r);
  }

  function square(path, x, y, r) {
    path.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r);
  }

  function triangle(path, x, y, r) {
    path.moveTo(x, y - 1.1 * r);
    path.lineTo(x + 1.1 * r, y + 0.9 * r);
    path.lineTo(x - 1.1 * r, y + 0.9 * r);
    path.closePath();
  }

  function diamond(path, x, y, r) {
    path.moveTo(x, y - r);
    path.lineTo(x + r, y);
    path.lineTo(x, y + r);
    path.lineTo(x - r, y);
    path.closePath();
  }

  /* --- The decision map ------------------------------------------------------------------------------ */

  const logits = new Float64Array(SIDE * SIDE);
  const picture = document.createElement("canvas");
  picture.width = picture.height = SIDE;
  const paint = picture.getContext("2d");
  const pixels = paint.createImageData(SIDE, SIDE);

  function drawMap(card) {
    const c = cleared(card.map);
    const { width, height } = card.map;
    const { yes, no, ink } = theme;
    card.network.plane(logits, SIDE, REACH);
    for (let i = 0; i < logits.length; i++) {
      const p = 1 / (1 + Math.exp(-logits[i]));
      for (let k = 0; k < 3; k++) pixels.data[4 * i + k] = no[k] + p * (yes[k] - no[k]);
      pixels.data[4 * i + 3] = 255;
    }
    paint.putImageData(pixels, 0, 0);
    // The outermost points lie on the edge: half a pixel of the picture stays outside.
    const apart = [width / (SIDE - 1), height / (SIDE - 1)];
    c.drawImage(picture, -apart[0] / 2, -apart[1] / 2, width + apart[0], height + apart[1]);
    c.strokeStyle = c.fillStyle = ink;
    c.lineWidth = 1;
    c.globalAlpha = 0.35;
    c.beginPath();
    c.moveTo(across(card.map, 0), 0);
    c.lineTo(across(card.map, 0), height);
    c.moveTo(0, down(card.map, 0));
    c.lineTo(width, down(card.map, 0));
    c.stroke();
    c.globalAlpha = 1;
    c.lineWidth = 1.8;
    c.beginPath();
    boundary(c, ...apart);
    c.stroke();
    c.lineWidth = 1.4;
    c.fill(card.ones);
    c.stroke(card.zeros);
    c.font = `italic ${FONT}`;
    c.textAlign = "right";
    c.textBaseline = "bottom";
    outlined(c, NAMES[0], width - 4, down(card.map, 0) - 3);
    c.textAlign = "left";
    c.textBaseline = "top";
    outlined(c, NAMES[1], across(card.map, 0) + 5, 3);
  }

  /** A word that stays legible where lines cross it. */
  function outlined(c, word, x, y) {
    c.strokeStyle = theme.ground;
    c.lineWidth = 3.5;
    c.lineJoin = "round";
    c.strokeText(word, x, y);
    c.fillText(word, x, y);
  }

  /** Where the network is undecided: in each cell of the map, lines between the sides it crosses. */
  function boundary(c, dx, dy) {
    for (let row = 0; row < SIDE - 1; row++) {
      for (let column = 0; column < SIDE - 1; column++) {
        const at = row * SIDE + column;
        const a = logits[at], b = logits[at + 1], d = logits[at + SIDE], e = logits[at + SIDE + 1];
        if (a > 0 === b > 0 && a > 0 === d > 0 && a > 0 === e > 0) continue;
        let drawn = 0;
        const meet = (x, y) => (drawn++ % 2 ? c.lineTo(x * dx, y * dy) : c.moveTo(x * dx, y * dy));
        if (a > 0 !== b > 0) meet(column + a / (a - b), row);
        if (a > 0 !== d > 0) meet(column, row + a / (a - d));
        if (d > 0 !== e > 0) meet(column + d / (d - e), row + 1);
        if (b > 0 !== e > 0) meet(column + 1, row + b / (b - e));
      }
    }
  }

  /* --- The network ----------------------------------------------------------------------------------- */

  const THICKNESSES = 5;
  const SHADES = 4; // of a mark that fades
  const FAINT = 0.01; // no line for weights smaller than this
  const thickness = (w) => Math.min(THICKNESSES - 1, Math.floor(Math.abs(w) * 2.5));

  function drawNetwork(card) {
    const c = cleared(card.net);
    drawEdges(c, card);
    drawUnits(c, card.net, card.network.width);
  }

  /* All edges of one sign and thickness in one stroke: a few strokes a picture, not hundreds. */
  function drawEdges(c, card) {
    const { layers } = card.network;
    c.lineCap = "butt"; // round caps would close the gaps of the dashes
    for (let sign = -1; sign <= 1; sign += 2) {
      c.strokeStyle = sign > 0 ? theme.plus : theme.minus;
      for (let level = 0; level < THICKNESSES; level++) {
        c.lineWidth = 0.4 + 0.7 * level;
        c.setLineDash(sign > 0 ? [] : [4 + 1.5 * c.lineWidth, 2 + 0.8 * c.lineWidth]);
        c.globalAlpha = 0.35 + 0.15 * level;
        c.beginPath();
        for (let l = 0; l < layers.length; l++) {
          const { weight } = layers[l];
          const { ends } = card.edges[l];
          for (let i = 0; i < weight.length; i++) {
            if (weight[i] * sign < FAINT || thickness(weight[i]) !== level) continue;
            c.moveTo(ends[4 * i], ends[4 * i + 1]);
            c.lineTo(ends[4 * i + 2], ends[4 * i + 3]);
          }
        }
        c.stroke();
      }
    }
    c.setLineDash([]);
    c.globalAlpha = 1;
  }

  function drawUnits(c, { width, height }, units) {
    c.fillStyle = c.strokeStyle = theme.ink;
    c.beginPath();
    for (let k = 0; k < 2; k++) circle(c, INPUT_X, inputY(k, height), 4);
    for (let h = 0; h < units; h++) circle(c, width / 2, unitY(h, units, height), units > 32 ? 1.8 : 2.8);
    circle(c, width - OUTPUT_X, height / 2, 5);
    c.fill();
    c.beginPath();
    for (let k = 2; k < INPUTS; k++) circle(c, INPUT_X, inputY(k, height), 3.6);
    c.fillStyle = theme.ground;
    c.fill();
    c.lineWidth = 1.2;
    c.stroke();
    c.fillStyle = theme.ink;
    c.font = `italic ${FONT}`;
    c.textAlign = "right";
    c.textBaseline = "middle";
    for (let k = 0; k < INPUTS; k++) c.fillText(NAMES[k], INPUT_X - 8, inputY(k, height));
  }

  const NAMES = ["x₁", "x₂", "x₃", "x₄", "x₅"];

  /* A flip lights up the whole edge; a reset puts a diamond on it. While networks train, both fade, in
     a few shades; at rest they stand for the last epoch. A reader who wants no motion sees them at
     rest only. */
  function drawMarks(card, now) {
    const c = cleared(card.marks);
    const { steps } = card.network;
    const since = steps - experiment.stepsPerEpoch;
    card.network.layers.forEach(({ flippedAt, resetAt }, l) => {
      const { at, shade } = card.edges[l];
      for (let i = 0; i < at.length; i++) {
        const newest = Math.max(flippedAt[i], resetAt[i]);
        if (newest > card.noticed) at[i] = now;
        const left = running ? 1 - (now - at[i]) / FLASH : newest > Math.max(since, 0) ? 1 : 0;
        shade[i] = running && calm.matches ? 0 : Math.ceil(SHADES * Math.max(left, 0));
      }
    });
    card.noticed = steps;
    c.strokeStyle = theme.flip;
    c.fillStyle = theme.ink;
    c.lineWidth = 3;
    for (let level = 1; level <= SHADES; level++) {
      c.globalAlpha = level / SHADES;
      c.beginPath();
      markLevel(c, card, level, true);
      c.stroke();
      c.beginPath();
      markLevel(c, card, level, false);
      c.fill();
    }
  }

  function markLevel(c, card, level, flips) {
    const { layers, width } = card.network;
    for (let l = 0; l < layers.length; l++) {
      const { flippedAt, resetAt } = layers[l];
      const { shade, ends } = card.edges[l];
      for (let i = 0; i < shade.length; i++) {
        if (shade[i] !== level || flippedAt[i] > resetAt[i] !== flips) continue;
        const x0 = ends[4 * i], y0 = ends[4 * i + 1], x1 = ends[4 * i + 2], y1 = ends[4 * i + 3];
        if (flips) {
          c.moveTo(x0, y0);
          c.lineTo(x1, y1);
        } else {
          // Each input's diamonds stand in a column of their own, so that they do not pile up.
          const part = l === 0 ? 0.4 + 0.13 * Math.floor(i / width) : 0.35;
          diamond(c, x0 + part * (x1 - x0), y0 + part * (y1 - y0), 3.4);
        }
      }
    }
  }

  /* --- The curves ------------------------------------------------------------------------------------ */

  function drawCurves() {
    const c = cleared(curves);
    const { width, height } = curves;
    const left = 46, right = width - 16, top = 26, bottom = height - 36;
    const at = (epoch) => left + (epoch / EPOCHS) * (right - left);
    const level = (error) => bottom - (Math.min(error, WORST) / WORST) * (bottom - top);
    c.font = FONT;
    c.fillStyle = theme.ink;
    c.strokeStyle = theme.grid;
    c.lineWidth = 1;
    c.textAlign = "right";
    c.textBaseline = "middle";
    for (const error of [0, 0.2, 0.4, WORST]) {
      c.beginPath();
      c.moveTo(left, level(error));
      c.lineTo(right, level(error));
      c.stroke();
      c.fillText(`${100 * error}`, left - 6, level(error));
    }
    c.textAlign = "center";
    c.textBaseline = "top";
    for (let epoch = 0; epoch <= EPOCHS; epoch += 20) c.fillText(`${epoch}`, at(epoch), bottom + 5);
    c.fillText("epochs trained", (left + right) / 2, bottom + 19);
    c.save();
    c.translate(11, (top + bottom) / 2);
    c.rotate(-Math.PI / 2);
    c.textBaseline = "middle";
    c.fillText("validation error (%)", 0, 0);
    c.restore();
    c.strokeStyle = theme.ink;
    c.setLineDash([1, 3]);
    c.beginPath();
    c.moveTo(left, level(1 - THRESHOLD));
    c.lineTo(right, level(1 - THRESHOLD));
    c.stroke();
    c.textAlign = "right";
    c.textBaseline = "top";
    c.fillText("90 % accuracy", right, level(1 - THRESHOLD) + 3);
    // Above the axes, each line with its name, as far as there is room.
    let key = width < 460 ? 2 : left;
    cards.forEach(({ look }, i) => {
      c.strokeStyle = c.fillStyle = look.color[theme.shade];
      c.setLineDash(look.dash);
      c.lineWidth = 2.2;
      c.beginPath();
      experiment.errors[i].forEach((error, epoch) => c.lineTo(at(epoch), level(error)));
      c.stroke();
      const short = width < 460 ? 18 : 30;
      c.beginPath();
      c.moveTo(key, 9);
      c.lineTo(key + short, 9);
      c.stroke();
      c.setLineDash([]);
      c.beginPath();
      look.marker(c, key + short / 2, 9, 4);
      if (experiment.reached[i] !== null) {
        look.marker(c, at(experiment.reached[i]), level(experiment.errors[i][experiment.reached[i]]), 5);
      }
      c.fill();
      c.fillStyle = theme.ink;
      c.textAlign = "left";
      c.textBaseline = "middle";
      c.font = width < 460 ? "11px system-ui, sans-serif" : FONT;
      const name = width < 460 ? look.name.replace("Frozen, ", "Fr., ") : look.name;
      c.fillText(name, key + short + 5, 10);
      key += short + 5 + c.measureText(name).width + (width < 460 ? 10 : 22);
    });
  }

  /* --- Events ------------------------------------------------------------------------------------- */

  play.addEventListener("click", () => {
    if (!running && experiment.epoch >= EPOCHS) restart();
    setRunning(!running);
  });
  find("step").addEventListener("click", oneEpoch);
  find("new").addEventListener("click", () => {
    settings.seed.value = String(((Number(settings.seed.value) || 0) + 1) % 1000000);
    restart();
    remember();
    if (!running) status.textContent = `Seed ${settings.seed.value}. ${summary()}`;
  });
  find("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const [name, input] of Object.entries(settings)) {
    input.addEventListener("input", () => (name === "speed" ? show() : restart()));
    input.addEventListener("change", remember);
  }
  // Suggestions in the text: a button sets one up, and leads back to the networks.
  for (const button of document.querySelectorAll("button[data-try]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      recall(button.dataset.try);
      restart();
      remember();
      root.scrollIntoView({ behavior: calm.matches ? "auto" : "smooth" });
      play.focus({ preventScroll: true });
    });
  }
  calm.addEventListener("change", show);
  addEventListener("hashchange", () => recall(location.hash.slice(1)) && restart());
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && running) setRunning(false);
  });
  const repaint = () => {
    theme = THEMES[document.documentElement.dataset.theme === "dark" ? "dark" : "light"];
    if (!experiment) return;
    place();
    rest();
  };
  const resized = new ResizeObserver(repaint);
  for (const { canvas } of surfaces) resized.observe(canvas);
  new MutationObserver(repaint).observe(document.documentElement, { attributeFilter: ["data-theme"] });

  repaint();
  recall(location.hash.slice(1));
  root.hidden = false;
  restart();
});
