/* The playground's view: three networks in training, drawn as they learn. It knows how to draw and
   when; everything that is learned happens in training.js. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const root = document.getElementById("playground");
  if (!root) return;

  const EPOCHS = 100;
  const THRESHOLD = 0.9;
  const FLASH = 450; // milliseconds that a flip or a reset stays visible
  const GRID = 40; // cells of the decision map, each way
  const REACH = 1.15; // the map's half width
  const LOOK = {
    frozen_sufficient: { name: "Frozen, sufficient", color: ["#0072b2", "#6cb8e6"], dash: [] },
    frozen_random: { name: "Frozen, random", color: ["#c04a00", "#f39157"], dash: [9, 4] },
    fluid_random: { name: "Fluid, random", color: ["#5f5f5f", "#b9b9b9"], dash: [2, 3] },
  };
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const dark = () => document.documentElement.dataset.theme === "dark";

  const find = (name) => root.querySelector(`[data-part="${name}"]`);
  const settings = {
    units: find("units"), samples: find("samples"), lr: find("lr"), speed: find("speed"),
    rule: find("rule"), seed: find("seed"),
  };
  const cards = Polarity.CONDITIONS.map((condition) => {
    const card = root.querySelector(`[data-condition="${condition}"]`);
    return {
      condition,
      map: card.querySelector('[data-part="map"]'),
      net: card.querySelector('[data-part="net"]'),
      reached: card.querySelector('[data-part="reached"]'),
      error: card.querySelector('[data-part="error"]'),
      flips: card.querySelector('[data-part="flips"]'),
      resets: card.querySelector('[data-part="resets"]'),
      seen: [new Float64Array(0), new Float64Array(0)],
    };
  });
  const curves = find("curves");
  const play = find("play");
  const status = find("status");

  let experiment;
  let running = false;
  let owed = 0; // epochs that time has brought and that have not been run
  let last = 0;
  let told = new Set();

  /* --- Settings ---------------------------------------------------------------------------------- */

  const rate = () => Number((10 ** Number(settings.lr.value)).toPrecision(2));

  function show() {
    for (const [name, input] of Object.entries(settings)) {
      const output = root.querySelector(`output[for="pg-${name}"]`);
      if (!output) continue;
      const text = name === "lr" ? String(rate()) : name === "speed" ? `${input.value} epochs a second` : input.value;
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    }
  }

  function restart() {
    experiment = new Polarity.Experiment({
      units: Number(settings.units.value),
      samples: Number(settings.samples.value),
      lr: rate(),
      rule: settings.rule.value,
      seed: Number(settings.seed.value) || 0,
    });
    for (const card of cards) {
      card.seen = [0, 1].map((l) => experiment.networks[0].resetAt[l].length).map((n) => ({
        reset: new Int32Array(n), flip: new Int32Array(n), at: new Float64Array(n).fill(-1e9),
        kind: new Uint8Array(n),
      }));
    }
    owed = 0;
    told = new Set();
    show();
    remember();
    draw(performance.now());
    curves.setAttribute("aria-label", summary());
  }

  function remember() {
    const words = Object.entries(settings)
      .filter(([name]) => name !== "speed")
      .map(([name, input]) => `${name}=${input.value}`);
    history.replaceState(null, "", `#${words.join("&")}`);
  }

  function recall() {
    for (const pair of location.hash.slice(1).split("&")) {
      const [name, value] = pair.split("=");
      const input = settings[name];
      if (!input || value === undefined) continue;
      if (input.tagName === "SELECT" && ![...input.options].some((o) => o.value === value)) continue;
      if (input.tagName === "INPUT" && !Number.isFinite(Number(value))) continue;
      input.value = value; // a slider keeps to its own range
    }
  }

  /* --- Words for those who do not see the pictures ------------------------------------------------ */

  const percent = (share) => `${(100 * share).toFixed(1)} %`;

  function summary() {
    const parts = cards.map(({ condition }, i) => {
      const error = experiment.errors[i].at(-1);
      const reached = experiment.reached[i];
      const when = reached === null ? "not yet at 90 %" : `90 % first after epoch ${reached}`;
      return `${LOOK[condition].name}: ${percent(error)} error, ${when}`;
    });
    return `After ${experiment.epoch} epochs. ${parts.join(". ")}.`;
  }

  function announce() {
    cards.forEach(({ condition }, i) => {
      if (experiment.reached[i] !== null && !told.has(condition)) {
        told.add(condition);
        status.textContent = `${LOOK[condition].name} reached 90 % accuracy after epoch ${experiment.reached[i]}.`;
      }
    });
  }

  /* --- Running ------------------------------------------------------------------------------------ */

  function setRunning(on) {
    running = on;
    play.textContent = on ? "Pause" : experiment.epoch >= EPOCHS ? "Run again" : "Play";
    play.setAttribute("aria-pressed", String(on));
    if (on) {
      last = performance.now();
      owed = 1;
      requestAnimationFrame(frame);
    } else {
      status.textContent = summary();
      curves.setAttribute("aria-label", summary());
    }
  }

  function frame(now) {
    if (!running) return;
    const speed = calm.matches ? Math.min(2, Number(settings.speed.value)) : Number(settings.speed.value);
    owed = Math.min(owed + ((now - last) / 1000) * speed, 5);
    last = now;
    const begun = performance.now();
    let trained = false;
    // Drawing needs some of the 16 ms of a frame; an epoch that has begun is finished.
    while (owed >= 1 && experiment.epoch < EPOCHS && performance.now() - begun < 7) {
      experiment.run(THRESHOLD);
      owed -= 1;
      trained = true;
    }
    if (trained) announce();
    if (trained || !calm.matches) draw(now);
    root.dataset.frame = (performance.now() - begun).toFixed(2);
    if (experiment.epoch >= EPOCHS) setRunning(false);
    else requestAnimationFrame(frame);
  }

  /* --- Drawing ------------------------------------------------------------------------------------ */

  function ready(canvas) {
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const { clientWidth, clientHeight } = canvas;
    if (canvas.width !== Math.round(clientWidth * ratio) || canvas.height !== Math.round(clientHeight * ratio)) {
      canvas.width = Math.round(clientWidth * ratio);
      canvas.height = Math.round(clientHeight * ratio);
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, clientWidth, clientHeight);
    return [context, clientWidth, clientHeight];
  }

  const ink = () => (dark() ? "#e4e6e8" : "#22262a");
  const faint = () => (dark() ? "#5a626b" : "#c3c9cf");
  const positive = () => (dark() ? "#6cb8e6" : "#0072b2");
  const negative = () => (dark() ? "#f39157" : "#d55e00");

  const cell = new Float32Array(Polarity.INPUTS).fill(1); // the noise inputs at their mean
  const scratch = document.createElement("canvas");
  scratch.width = scratch.height = GRID;
  const pixels = scratch.getContext("2d").createImageData(GRID, GRID);

  function drawMap(canvas, network) {
    const [c, width, height] = ready(canvas);
    const yes = dark() ? [38, 92, 128] : [189, 223, 243];
    const no = dark() ? [122, 78, 12] : [252, 228, 178];
    for (let row = 0; row < GRID; row++) {
      cell[1] = REACH * (1 - (2 * (row + 0.5)) / GRID);
      for (let column = 0; column < GRID; column++) {
        cell[0] = REACH * ((2 * (column + 0.5)) / GRID - 1);
        const p = 1 / (1 + Math.exp(-network.logit(cell, 0)));
        const at = 4 * (row * GRID + column);
        for (let k = 0; k < 3; k++) pixels.data[at + k] = no[k] + p * (yes[k] - no[k]);
        pixels.data[at + 3] = 255;
      }
    }
    scratch.getContext("2d").putImageData(pixels, 0, 0);
    c.imageSmoothingEnabled = true;
    c.drawImage(scratch, 0, 0, width, height);
    const place = (v) => ((v / REACH + 1) / 2) * width;
    const level = (v) => ((1 - v / REACH) / 2) * height;
    c.strokeStyle = ink();
    c.globalAlpha = 0.5;
    c.lineWidth = 1;
    c.beginPath();
    c.moveTo(place(0), 0);
    c.lineTo(place(0), height);
    c.moveTo(0, level(0));
    c.lineTo(width, level(0));
    c.stroke();
    c.globalAlpha = 1;
    c.fillStyle = ink();
    c.font = "italic 12px system-ui, sans-serif";
    c.textAlign = "right";
    c.textBaseline = "bottom";
    c.fillText("x₁", width - 4, level(0) - 2);
    c.textAlign = "left";
    c.textBaseline = "top";
    c.fillText("x₂", place(0) + 4, 3);
    c.lineWidth = 1.4;
    const { x, y, n } = experiment.train;
    for (let i = 0; i < n; i++) {
      const px = place(x[i * Polarity.INPUTS]);
      const py = level(x[i * Polarity.INPUTS + 1]);
      c.beginPath();
      if (y[i] > 0.5) {
        c.arc(px, py, 2.4, 0, 7);
        c.fill();
      } else {
        c.moveTo(px - 2.6, py - 2.6);
        c.lineTo(px + 2.6, py + 2.6);
        c.moveTo(px - 2.6, py + 2.6);
        c.lineTo(px + 2.6, py - 2.6);
        c.stroke();
      }
    }
  }

  function drawNetwork(canvas, network, card, now) {
    const [c, width, height] = ready(canvas);
    const units = network.width;
    const left = 12, right = width - 12, middle = width / 2;
    const input = (k) => ((k + 0.5) / Polarity.INPUTS) * height;
    const unit = (h) => ((h + 0.5) / units) * height;
    const end = (l, i) =>
      l === 0
        ? [left, input(Math.floor(i / units)), middle, unit(i % units)]
        : [middle, unit(i), right, height / 2];
    const layers = [network.w1, network.w2];
    c.lineCap = "round";
    // All edges of one sign and thickness in one stroke: a few strokes a frame, not hundreds.
    for (const sign of [1, -1]) {
      c.strokeStyle = sign > 0 ? positive() : negative();
      c.setLineDash(sign > 0 ? [] : [4, 3]);
      for (let bucket = 0; bucket < 5; bucket++) {
        c.lineWidth = 0.35 + 0.75 * bucket;
        c.globalAlpha = 0.3 + 0.16 * bucket;
        c.beginPath();
        for (let l = 0; l < 2; l++) {
          for (let i = 0; i < layers[l].length; i++) {
            const w = layers[l][i];
            if (w * sign <= 0 || Math.min(4, Math.floor(Math.abs(w) * 2.5)) !== bucket) continue;
            const [x0, y0, x1, y1] = end(l, i);
            c.moveTo(x0, y0);
            c.lineTo(x1, y1);
          }
        }
        c.stroke();
      }
    }
    c.setLineDash([]);
    c.globalAlpha = 1;
    if (!calm.matches) drawEvents(c, network, card, now, end);
    c.fillStyle = ink();
    for (let k = 0; k < Polarity.INPUTS; k++) dot(c, left, input(k), 4, k > 1);
    for (let h = 0; h < units; h++) dot(c, middle, unit(h), units > 32 ? 1.8 : 3, false);
    dot(c, right, height / 2, 5, false);
  }

  function dot(c, x, y, radius, hollow) {
    c.beginPath();
    c.arc(x, y, radius, 0, 7);
    if (hollow) {
      c.fillStyle = dark() ? "#121417" : "#ffffff";
      c.fill();
      c.strokeStyle = ink();
      c.lineWidth = 1.2;
      c.stroke();
      c.fillStyle = ink();
    } else c.fill();
  }

  /* A flip: the edge lights up, whole. A reset: a small diamond in its middle. */
  function drawEvents(c, network, card, now, end) {
    for (let l = 0; l < 2; l++) {
      const seen = card.seen[l];
      for (let i = 0; i < seen.at.length; i++) {
        if (network.flippedAt[l][i] > seen.flip[i]) {
          seen.flip[i] = network.flippedAt[l][i];
          seen.at[i] = now;
          seen.kind[i] = 1;
        } else if (network.resetAt[l][i] > seen.reset[i]) {
          seen.reset[i] = network.resetAt[l][i];
          seen.at[i] = now;
          seen.kind[i] = 2;
        }
        const left = 1 - (now - seen.at[i]) / FLASH;
        if (left <= 0) continue;
        const [x0, y0, x1, y1] = end(l, i);
        c.globalAlpha = left;
        if (seen.kind[i] === 1) {
          c.strokeStyle = dark() ? "#f0e442" : "#a0417c";
          c.lineWidth = 3;
          c.beginPath();
          c.moveTo(x0, y0);
          c.lineTo(x1, y1);
          c.stroke();
        } else {
          const x = (x0 + x1) / 2, y = (y0 + y1) / 2;
          c.fillStyle = ink();
          c.beginPath();
          c.moveTo(x, y - 4);
          c.lineTo(x + 4, y);
          c.lineTo(x, y + 4);
          c.lineTo(x - 4, y);
          c.fill();
        }
      }
    }
    c.globalAlpha = 1;
  }

  function drawCurves() {
    const [c, width, height] = ready(curves);
    const left = 46, right = width - 16, top = 10, bottom = height - 36;
    const place = (epoch) => left + (epoch / EPOCHS) * (right - left);
    const level = (error) => bottom - (Math.min(error, 0.6) / 0.6) * (bottom - top);
    c.font = "12px system-ui, sans-serif";
    c.fillStyle = ink();
    c.strokeStyle = faint();
    c.lineWidth = 1;
    c.textAlign = "right";
    c.textBaseline = "middle";
    for (const error of [0, 0.2, 0.4, 0.6]) {
      c.beginPath();
      c.moveTo(left, level(error));
      c.lineTo(right, level(error));
      c.stroke();
      c.fillText(`${100 * error}`, left - 6, level(error));
    }
    c.textAlign = "center";
    c.textBaseline = "top";
    for (const epoch of [0, 20, 40, 60, 80, 100]) c.fillText(`${epoch}`, place(epoch), bottom + 5);
    c.fillText("epochs trained", (left + right) / 2, bottom + 19);
    c.save();
    c.translate(11, (top + bottom) / 2);
    c.rotate(-Math.PI / 2);
    c.textBaseline = "middle";
    c.fillText("validation error (%)", 0, 0);
    c.restore();
    c.strokeStyle = ink();
    c.setLineDash([1, 3]);
    c.beginPath();
    c.moveTo(left, level(1 - THRESHOLD));
    c.lineTo(right, level(1 - THRESHOLD));
    c.stroke();
    c.textAlign = "right";
    c.textBaseline = "bottom";
    c.fillText("90 % accuracy", right, level(1 - THRESHOLD) - 2);
    cards.forEach(({ condition }, i) => {
      const { color, dash } = LOOK[condition];
      c.strokeStyle = color[dark() ? 1 : 0];
      c.setLineDash(dash);
      c.lineWidth = 2.2;
      c.beginPath();
      experiment.errors[i].forEach((error, epoch) => {
        if (epoch === 0) c.moveTo(place(0), level(error));
        else c.lineTo(place(epoch), level(error));
      });
      c.stroke();
    });
    c.setLineDash([]);
  }

  function draw(now) {
    cards.forEach((card, i) => {
      const network = experiment.networks[i];
      drawMap(card.map, network);
      drawNetwork(card.net, network, card, now);
      const reached = experiment.reached[i];
      card.reached.textContent = reached === null ? (experiment.epoch >= EPOCHS ? "never" : "–") : String(reached);
      card.error.textContent = percent(experiment.errors[i].at(-1));
      card.flips.textContent = network.flips.toLocaleString("en");
      card.resets.textContent = network.resets.toLocaleString("en");
    });
    drawCurves();
    find("epoch").textContent = String(experiment.epoch);
  }

  /* --- Events ------------------------------------------------------------------------------------- */

  play.addEventListener("click", () => {
    if (!running && experiment.epoch >= EPOCHS) restart();
    setRunning(!running);
  });
  find("step").addEventListener("click", () => {
    if (running) setRunning(false);
    if (experiment.epoch < EPOCHS) {
      experiment.run(THRESHOLD);
      draw(performance.now());
    }
    setRunning(false);
  });
  find("new").addEventListener("click", () => {
    settings.seed.value = String((Number(settings.seed.value) || 0) + 1);
    restart();
    if (!running) setRunning(false);
  });
  find("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const [name, input] of Object.entries(settings)) {
    input.addEventListener("input", () => (name === "speed" ? show() : restart()));
  }
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && running) setRunning(false);
  });
  const redraw = () => draw(performance.now());
  new ResizeObserver(redraw).observe(root);
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });

  recall();
  root.hidden = false;
  restart();
});
