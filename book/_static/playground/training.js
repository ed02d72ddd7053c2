/* Training of XOR-5D networks, as in the paper (section 2.1) and in polarity.ensemble: 5 - width - 1,
   ReLU, a sigmoid output, binary cross-entropy, Adam, and Algorithm 1 after every step.

   Numbers are kept in 32 bits, as the package keeps them; a test runs both from the same start and
   compares the weights. Nothing here knows of pages, and nothing is allocated in a step. */
"use strict";

const Polarity = (() => {
  const INPUTS = 5;
  const GAP = 0.05; // the strip [0, GAP) of each informative coordinate holds no sample
  const NOISE_MEAN = 1;
  const BETA1 = 0.9;
  const BETA2 = 0.999;
  const EPS = 1e-7;
  const BATCH = 32;
  const EPOCHS = 100;
  const VALIDATION = 1000; // samples
  const THRESHOLD = 0.9; // validation accuracy that counts as learned
  const RULES = ["posRand", "posCon", "zero", "flip"];
  const CONDITIONS = ["frozen_sufficient", "frozen_random", "fluid_random"];

  /* --- SplitMix64: a draw from a key and two counters, so that all conditions share them --------- */

  let high = 0; // the two halves of a product
  let low = 0;

  function multiply(aHigh, aLow, bHigh, bLow) {
    const a0 = aLow & 0xffff, a1 = aLow >>> 16, b0 = bLow & 0xffff, b1 = bLow >>> 16;
    const p00 = a0 * b0, p01 = a0 * b1, p10 = a1 * b0, p11 = a1 * b1;
    const middle = (p00 >>> 16) + (p01 & 0xffff) + (p10 & 0xffff);
    low = ((p00 & 0xffff) | (middle << 16)) >>> 0;
    const carried = p11 + (p01 >>> 16) + (p10 >>> 16) + (middle >>> 16);
    high = (carried + Math.imul(aHigh, bLow) + Math.imul(aLow, bHigh)) >>> 0;
  }

  function shifted(by) {
    // z ^= z >> by, for by < 32
    const moved = ((low >>> by) | (high << (32 - by))) >>> 0;
    low = (low ^ moved) >>> 0;
    high = (high ^ (high >>> by)) >>> 0;
  }

  /** Uniform on (0, 1]: output `step * 2**32 + index` of SplitMix64 with the given key. */
  function draw(key, step, index) {
    multiply(step, index, 0x9e3779b9, 0x7f4a7c15);
    const sum = low + key.low;
    high = (high + key.high + (sum > 0xffffffff ? 1 : 0)) >>> 0;
    low = sum >>> 0;
    shifted(30);
    multiply(high, low, 0xbf58476d, 0x1ce4e5b9);
    shifted(27);
    multiply(high, low, 0x94d049bb, 0x133111eb);
    shifted(31);
    return Math.fround(((high >>> 8) + 0.5) / 2 ** 24);
  }

  /** A stream of numbers for everything that is random before training. */
  class Random {
    constructor(seed, purpose) {
      this.key = { high: seed >>> 0, low: purpose >>> 0 };
      this.drawn = 0;
    }
    uniform() {
      return draw(this.key, 1, this.drawn++);
    }
    normal() {
      return Math.sqrt(-2 * Math.log(this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
    }
    shuffle(order) {
      for (let i = order.length - 1; i > 0; i--) {
        const j = Math.min(i, Math.floor(this.uniform() * (i + 1)));
        const kept = order[i];
        order[i] = order[j];
        order[j] = kept;
      }
    }
  }

  /* --- Data and starts ---------------------------------------------------------------------------- */

  /** `n` samples of XOR-5D, a multiple of 4: two coordinates decide, three are noise N(1, 1). */
  function xor5d(n, random) {
    const x = new Float32Array(n * INPUTS);
    const y = new Float32Array(n);
    for (let i = 0; i < n; i++) {
      const first = i % 4 < 2 ? 1 : -1;
      const second = i % 2 === 0 ? first : -first;
      // A draw u lies on (0, 1]: -u on [-1, 0), and 1.05 - u on [0.05, 1.05).
      x[i * INPUTS] = (first > 0 ? 1 + GAP : 0) - random.uniform();
      x[i * INPUTS + 1] = (second > 0 ? 1 + GAP : 0) - random.uniform();
      for (let k = 2; k < INPUTS; k++) x[i * INPUTS + k] = NOISE_MEAN + random.normal();
      y[i] = first === second ? 1 : 0;
    }
    return { x, y, n };
  }

  /** Initial weights: normal, sd 0.25, cut at two; biases uniform Glorot, as in the paper. */
  function initialWeights(width, random) {
    const cut = () => {
      let z = random.normal();
      while (Math.abs(z) > 2) z = random.normal();
      return 0.25 * z;
    };
    const centred = (bound) => (2 * random.uniform() - 1) * bound;
    return {
      w1: Float32Array.from({ length: INPUTS * width }, cut),
      b1: Float32Array.from({ length: width }, () => centred(Math.sqrt(3 / width))),
      w2: Float32Array.from({ length: width }, cut),
      b2: centred(Math.sqrt(3)),
    };
  }

  /** The polarity that a condition prescribes: signs to keep, 0 where a weight is free. */
  function templates(start, condition) {
    const width = start.w2.length;
    const t1 = Int8Array.from(start.w1, Math.sign);
    const t2 = Int8Array.from(start.w2, Math.sign);
    if (condition === "frozen_sufficient") {
      // An output weight's sign is the product of the signs of its unit's two informative weights.
      for (let h = 0; h < width; h++) t2[h] = t1[h] * t1[width + h];
    } else if (condition === "fluid_random") {
      t1.fill(0);
      t2.fill(0);
    }
    return { t1, t2 };
  }

  /* --- One network ---------------------------------------------------------------------------------- */

  class Network {
    /** `start`: w1 [input * width + unit], b1, w2, b2; `template`: t1, t2 of the same shapes. */
    constructor(start, template, { lr = 0.03, rule = "posRand", epsilon = 1e-3, key } = {}) {
      if (!RULES.includes(rule)) throw new RangeError(`rule must be one of ${RULES}, got ${rule}`);
      const width = start.w2.length;
      Object.assign(this, { width, lr, rule, epsilon: Math.fround(epsilon), key, ...template });
      this.w1 = Float32Array.from(start.w1);
      this.b1 = Float32Array.from(start.b1);
      this.w2 = Float32Array.from(start.w2);
      this.b2 = Float32Array.of(start.b2);
      this.parts = [this.w1, this.b1, this.w2, this.b2].map((weight) => ({
        weight,
        gradient: new Float64Array(weight.length),
        m: new Float32Array(weight.length),
        v: new Float32Array(weight.length),
      }));
      this.hidden = new Float64Array(width);
      this.gathered = new Float64Array(width);
      this.steps = 0;
      this.resets = 0;
      this.flips = 0;
      // What Algorithm 1 looks at. `first` is a layer's place in the draws; `sign` the last sign that
      // a weight had; `resetAt` and `flippedAt` the step in which that happened to it last.
      this.layers = [[this.w1, this.t1, 0], [this.w2, this.t2, (INPUTS + 1) * width]].map(
        ([weight, template, first]) => ({
          weight, template, first,
          sign: new Int8Array(weight.length),
          resetAt: new Int32Array(weight.length),
          flippedAt: new Int32Array(weight.length),
        }),
      );
      this.match();
    }

    /** Flip what has the wrong sign, keeping every magnitude. */
    match() {
      for (const { weight, template, sign } of this.layers) {
        for (let i = 0; i < weight.length; i++) {
          if (template[i] * weight[i] < 0) weight[i] = -weight[i];
          sign[i] = Math.sign(weight[i]);
        }
      }
    }

    /** The output before the sigmoid, for the sample that begins at x[at]. */
    logit(x, at) {
      const { width, w1, b1, w2, hidden } = this;
      // The five products are written out: this line is where nearly all of the time goes.
      const x0 = x[at], x1 = x[at + 1], x2 = x[at + 2], x3 = x[at + 3], x4 = x[at + 4];
      const r1 = width, r2 = 2 * width, r3 = 3 * width, r4 = 4 * width;
      let z = this.b2[0];
      for (let h = 0; h < width; h++) {
        const sum = b1[h] + x0 * w1[h] + x1 * w1[r1 + h] + x2 * w1[r2 + h] + x3 * w1[r3 + h] + x4 * w1[r4 + h];
        hidden[h] = sum > 0 ? sum : 0;
        z += hidden[h] * w2[h];
      }
      return z;
    }

    /** One step of Adam on the samples order[from] to order[to - 1], then Algorithm 1. */
    step(data, order, from, to) {
      const { width, hidden, w2 } = this;
      const [p1, pb1, p2, pb2] = this.parts;
      for (const part of this.parts) part.gradient.fill(0);
      for (let s = from; s < to; s++) {
        const at = order[s] * INPUTS;
        const z = this.logit(data.x, at);
        const error = (1 / (1 + Math.exp(-z)) - data.y[order[s]]) / (to - from);
        pb2.gradient[0] += error;
        for (let h = 0; h < width; h++) {
          if (hidden[h] > 0) {
            p2.gradient[h] += error * hidden[h];
            const back = error * w2[h];
            pb1.gradient[h] += back;
            for (let k = 0; k < INPUTS; k++) p1.gradient[k * width + h] += back * data.x[at + k];
          }
        }
      }
      this.steps += 1;
      this.adam();
      this.algorithm1();
    }

    adam() {
      const rate = this.lr / (1 - BETA1 ** this.steps);
      const root = Math.sqrt(1 - BETA2 ** this.steps);
      for (const { weight, gradient, m, v } of this.parts) {
        for (let i = 0; i < weight.length; i++) {
          const g = gradient[i];
          m[i] = BETA1 * m[i] + (1 - BETA1) * g;
          v[i] = BETA2 * v[i] + (1 - BETA2) * g * g;
          weight[i] -= (rate * m[i]) / (Math.sqrt(v[i]) / root + EPS);
        }
      }
    }

    /** Where template * sign(weight) < 0, reset the weight by the rule (Algorithm 1). */
    algorithm1() {
      for (const { weight, template, first, sign, resetAt, flippedAt } of this.layers) {
        for (let i = 0; i < weight.length; i++) {
          const w = weight[i];
          if (template[i] * w < 0) {
            weight[i] = this.replacement(w, template[i], first + i);
            this.resets += 1;
            resetAt[i] = this.steps;
          }
          const now = Math.sign(weight[i]);
          if (now !== 0 && now !== sign[i]) {
            if (sign[i] !== 0) {
              this.flips += 1;
              flippedAt[i] = this.steps;
            }
            sign[i] = now;
          }
        }
      }
    }

    replacement(w, sign, index) {
      switch (this.rule) {
        case "posCon": return sign * this.epsilon;
        case "posRand": return sign * this.epsilon * draw(this.key, this.steps, index);
        case "zero": return 0;
        default: return -w; // flip
      }
    }

    /** Logits on side * side points of the square [-reach, reach]^2 of the two informative inputs, from
        its upper left corner row by row, where the noise inputs are at their mean. */
    plane(logits, side, reach) {
      const { width, w1, b1, w2, hidden } = this;
      const noise = this.gathered; // what bias and noise inputs contribute, the same everywhere
      for (let h = 0; h < width; h++) {
        noise[h] = b1[h];
        for (let k = 2; k < INPUTS; k++) noise[h] += NOISE_MEAN * w1[k * width + h];
      }
      const apart = (2 * reach) / (side - 1);
      for (let row = 0; row < side; row++) {
        const x1 = reach - row * apart;
        for (let h = 0; h < width; h++) hidden[h] = noise[h] + x1 * w1[width + h];
        for (let column = 0; column < side; column++) {
          const x0 = column * apart - reach;
          let z = this.b2[0];
          for (let h = 0; h < width; h++) {
            const sum = hidden[h] + x0 * w1[h];
            if (sum > 0) z += sum * w2[h];
          }
          logits[row * side + column] = z;
        }
      }
    }

    /** Share of samples that the network puts on the right side. */
    accuracy(data) {
      let right = 0;
      for (let i = 0; i < data.n; i++) {
        if (this.logit(data.x, i * INPUTS) > 0 === data.y[i] > 0.5) right += 1;
      }
      return right / data.n;
    }
  }

  /* --- The three conditions side by side ------------------------------------------------------------ */

  class Experiment {
    constructor({ units = 16, samples = 60, lr = 0.03, rule = "posRand", seed = 0 } = {}) {
      this.train = xor5d(samples, new Random(seed, 1));
      this.validation = xor5d(VALIDATION, new Random(seed, 2));
      this.start = initialWeights(units, new Random(seed, 3));
      this.batches = new Random(seed, 4);
      this.order = Uint32Array.from({ length: samples }, (_, i) => i);
      this.from = 0; // where in the order the next batch begins
      this.epoch = 0; // passes over the data that are complete
      const key = { high: seed >>> 0, low: 5 };
      this.networks = CONDITIONS.map(
        (condition) => new Network(this.start, templates(this.start, condition), { lr, rule, key }),
      );
      this.errors = CONDITIONS.map(() => []); // before training, and after each epoch
      this.reached = CONDITIONS.map(() => null); // passes made when the threshold was first met
      this.evaluate();
    }

    /** One step of all three networks on the same batch. True where it completes an epoch. */
    step() {
      if (this.from === 0) this.batches.shuffle(this.order);
      const to = Math.min(this.from + BATCH, this.order.length);
      for (const network of this.networks) network.step(this.train, this.order, this.from, to);
      this.from = to % this.order.length;
      if (this.from > 0) return false;
      this.epoch += 1;
      this.evaluate();
      return true;
    }

    get stepsPerEpoch() {
      return Math.ceil(this.order.length / BATCH);
    }

    evaluate() {
      this.networks.forEach((network, i) => {
        const accuracy = network.accuracy(this.validation);
        this.errors[i].push(1 - accuracy);
        if (this.epoch > 0 && this.reached[i] === null && accuracy >= THRESHOLD) {
          this.reached[i] = this.epoch;
        }
      });
    }
  }

  return {
    INPUTS, EPOCHS, THRESHOLD, RULES, CONDITIONS,
    Random, draw, xor5d, initialWeights, templates, Network, Experiment,
  };
})();
