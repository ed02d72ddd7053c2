"""The playground's training is the package's: same starts, batches and draws, same weights.

Tolerance. Both keep 32-bit numbers and add in different orders (the browser adds in 64 bits and
rounds when it stores). After 50 steps a weight may differ by some 1e-6; we allow 2e-5, as between
the package's own back ends: far less than one reset (up to 1e-3) or one step of Adam (0.03).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from polarity.datasets import xor5d
from polarity.ensemble import CONDITIONS, initial_weights, templates, train_networks
from polarity.ensemble.start import batch_order, reset_keys
from polarity.protocols import RESETS
from polarity.publishing.environment import repository_root

ROOT = repository_root() or Path()
SCRIPT = ROOT / "book" / "_static" / "playground" / "training.js"
WIDTH, N, EPOCHS, SEED = 12, 60, 25, 3  # two batches an epoch: 50 steps
TOLERANCE = 2e-5

TRAIN = """
([start, template, data, order, key, rule]) => {
  const signs = {t1: Int8Array.from(template.t1), t2: Int8Array.from(template.t2)};
  const network = new Polarity.Network(start, signs, {lr: 0.03, rule, epsilon: 1e-3, key});
  const set = {x: Float32Array.from(data.x), y: Float32Array.from(data.y), n: data.y.length};
  for (const epoch of order)
    for (let from = 0; from < epoch.length; from += 32)
      network.step(set, epoch, from, Math.min(from + 32, epoch.length));
  return {w1: [...network.w1], b1: [...network.b1], w2: [...network.w2], b2: network.b2[0],
          steps: network.steps, resets: network.resets, flips: network.flips};
}
"""


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page()
    opened.add_script_tag(path=SCRIPT)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, ...]:
    return (*xor5d(N, SEED), *xor5d(200, SEED, split="validation"))


def in_the_browser(page: Page, data: Any, condition: str, rule: str) -> dict[str, Any]:
    weights = initial_weights(WIDTH, N, 1, SEED)
    signs = templates(weights, condition)
    start = {"w1": weights.w1[0].ravel().tolist(), "b1": weights.b1[0].tolist()}
    start |= {"w2": weights.w2[0].tolist(), "b2": float(weights.b2[0])}
    template = {"t1": signs.t1[0].ravel().tolist(), "t2": signs.t2[0].tolist()}
    key = int(reset_keys(WIDTH, N, 1, SEED)[0])
    halves = {"high": key >> 32, "low": key & 0xFFFFFFFF}
    order = batch_order(N, EPOCHS, 1, SEED)[0].tolist()
    given = {"x": data[0].ravel().tolist(), "y": data[1].tolist()}
    trained: dict[str, Any] = page.evaluate(TRAIN, [start, template, given, order, halves, rule])
    return trained


@pytest.mark.parametrize("rule", RESETS)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_fifty_steps_end_at_the_packages_weights(
    page: Page, data: tuple[np.ndarray, ...], condition: str, rule: str
) -> None:
    weights = initial_weights(WIDTH, N, 1, SEED)
    ours = train_networks(
        *data, weights, templates(weights, condition), epochs=EPOCHS, seed=SEED, reset=rule
    ).weights
    theirs = in_the_browser(page, data, condition, rule)
    assert theirs["steps"] == 50
    for name in ("w1", "b1", "w2", "b2"):
        expected = np.ravel(getattr(ours, name)[0])
        np.testing.assert_allclose(np.ravel(theirs[name]), expected, rtol=0, atol=TOLERANCE)
    frozen = condition.startswith("frozen")
    assert (theirs["resets"] > 0) == frozen
    assert (theirs["flips"] == 0) == frozen


def draw(key: int, step: int, index: int) -> float:
    """Output ``step * 2**32 + index`` of SplitMix64, with Python's integers."""
    mask = 2**64 - 1
    z = (key + (step * 2**32 + index) * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    z ^= z >> 31
    return float(np.float32(((z >> 40) + 0.5) / 2**24))


def test_draws_are_the_packages(page: Page) -> None:
    keys = [0, 1, 2**32 - 1, 2**63 + 12345, 2**64 - 1]
    for key in keys:
        for step, index in [(0, 0), (1, 7), (50, 383), (2**20, 2**20 + 1)]:
            halves = {"high": key >> 32, "low": key & 0xFFFFFFFF}
            drawn = page.evaluate("([k, s, i]) => Polarity.draw(k, s, i)", [halves, step, index])
            assert drawn == draw(key, step, index)


def test_its_own_data_are_those_of_the_task(page: Page) -> None:
    sample = page.evaluate(
        "() => {const d = Polarity.xor5d(4000, new Polarity.Random(0, 1));"
        " return {x: [...d.x], y: [...d.y]}}"
    )
    x, y = np.reshape(sample["x"], (4000, 5)), np.array(sample["y"])
    assert ((x[:, 0] * x[:, 1] > 0) == (y == 1)).all()
    deciding = x[:, :2]
    assert not ((deciding >= 0) & (deciding < 0.05)).any()
    assert -1.0001 < deciding.min() < -0.99 and 1.04 < deciding.max() <= 1.05001
    quadrants = np.unique(np.sign(deciding), axis=0, return_counts=True)[1]
    assert quadrants.tolist() == [1000] * 4
    assert np.abs(x[:, 2:].mean(0) - 1).max() < 0.06 and np.abs(x[:, 2:].std(0) - 1).max() < 0.05


def test_its_own_starts_are_those_of_the_paper(page: Page) -> None:
    start = page.evaluate(
        "() => {const s = Polarity.initialWeights(64, new Polarity.Random(0, 3));"
        " return {w1: [...s.w1], b1: [...s.b1], w2: [...s.w2], b2: s.b2}}"
    )
    reference = initial_weights(64, 100, 50).w1.std()
    w1 = np.array(start["w1"])
    assert np.abs(w1).max() <= 0.5 and abs(w1.std() - reference) < 0.02
    assert np.abs(start["b1"]).max() <= np.sqrt(3 / 64) and abs(start["b2"]) <= np.sqrt(3)
    assert len(start["w2"]) == 64


def test_conditions_share_data_batches_and_magnitudes(page: Page) -> None:
    found = page.evaluate(
        "() => {const e = new Polarity.Experiment({units: 9, samples: 72, seed: 4});"
        " const sizes = e.networks.map(n => [...n.w1, ...n.w2].map(Math.abs));"
        " const steps = []; const seen = [];"
        " for (const n of e.networks) {const step = n.step.bind(n);"
        "   n.step = (data, order, from, to) => {seen.push([...order.slice(from, to)].join());"
        "     if (data !== e.train) throw Error('other data'); step(data, order, from, to);};}"
        " while (e.epoch < 2) steps.push(e.step());"
        " return {sizes, steps, seen, errors: e.errors.map(l => l.length)}}"
    )
    assert found["sizes"][0] == found["sizes"][1] == found["sizes"][2]
    assert found["steps"] == [False, False, True] * 2  # 32, 32 and 8 samples
    assert found["errors"] == [3, 3, 3]  # before training, and after each epoch
    batches = [found["seen"][i : i + 3] for i in range(0, len(found["seen"]), 3)]
    assert all(len(set(three)) == 1 for three in batches)
    epochs = [",".join(three[0] for three in batches[i : i + 3]).split(",") for i in (0, 3)]
    assert all(sorted(map(int, epoch)) == list(range(72)) for epoch in epochs)
    assert epochs[0] != epochs[1]  # reshuffled


def test_the_map_shows_the_network(page: Page) -> None:
    """Its quick way to a whole plane agrees with the network, sample by sample."""
    worst = page.evaluate(
        "() => {const e = new Polarity.Experiment({units: 9}); const n = e.networks[0];"
        " for (let i = 0; i < 20; i++) e.step();"
        " const side = 7, reach = 1.15, plane = new Float64Array(side * side);"
        " n.plane(plane, side, reach); let worst = 0;"
        " plane.forEach((z, i) => {const at = j => -reach + 2 * reach * j / (side - 1);"
        "   const x = [at(i % side), -at(Math.floor(i / side)), 1, 1, 1];"
        "   worst = Math.max(worst, Math.abs(z - n.logit(x, 0)));}); return worst}"
    )
    assert worst < 1e-9  # both add in 64 bits


def test_an_unknown_rule_is_refused(page: Page) -> None:
    message = page.evaluate(
        "() => {const s = Polarity.initialWeights(2, new Polarity.Random(0, 3));"
        " try {new Polarity.Network(s, Polarity.templates(s, 'frozen_random'), {rule: 'none'})}"
        " catch (e) {return String(e)}}"
    )
    assert message == "RangeError: rule must be one of posRand,posCon,zero,flip, got none"


RUNS = """
(seeds) => seeds.map((seed) => {
  const run = new Polarity.Experiment({units: 20, samples: 72, lr: 0.03, rule: "posRand", seed});
  while (run.epoch < Polarity.EPOCHS) run.step();
  return [...run.errors.map((e) => e.at(-1)), ...run.reached.map((r) => r ?? Infinity)];
})
"""


def test_the_first_run_is_a_typical_one(page: Page) -> None:
    """Error and epochs of all three networks lie in the middle of what other seeds give."""
    text = (ROOT / "book" / "playground.md").read_text()
    first = int(re.findall(r'data-part="seed"[^>]* value="(\d+)"', text)[0])
    seeds = [first, *range(40)]
    shown, *others = np.array(page.evaluate(RUNS, seeds), float)
    below = (np.array(others) < shown).mean(axis=0)
    above = (np.array(others) > shown).mean(axis=0)
    assert (below < 0.75).all() and (above < 0.75).all(), (below, above)
