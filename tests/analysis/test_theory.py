"""The theory, each part against an independent way of finding the same answer."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polarity.analysis.theory import (
    PATTERNS,
    Pattern,
    capable_probability,
    distinct_right_patterns,
    exactly_capable,
    expected_search_time,
    margin_capable,
    monotone,
    right_pattern_sequences,
    right_patterns,
    theorem_capable,
    theorem_probability,
    units_needed,
)
from polarity.analysis.theory.cross import (
    Certificate,
    KinkFamily,
    Network,
    Unit,
    certificate,
    construct,
    quadrant,
)
from polarity.analysis.theory.patterns import (
    all_sets,
    pattern_sets,
    set_is_exactly_capable,
    set_is_margin_capable,
    set_is_monotone,
)
from polarity.analysis.theory.prediction import success_gap
from polarity.analysis.theory.search import TinyNetwork, mean_over_all_orders, search_times

A, B, C, D = PATTERNS[:4]
SETS = all_sets()


def _names(patterns: Iterable[Pattern]) -> str:
    return "".join(sorted(pattern.name for pattern in patterns))


def _random_templates(seed: int, trials: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.choice([-1, 1], size=(trials, 5, width)), rng.choice([-1, 1], size=(trials, width))


# --- Lemma 2.1 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", range(1, 8))
def test_lemma_agrees_with_every_order_of_the_search(settings: int) -> None:
    for solutions in range(1, settings + 1):
        expected = expected_search_time(settings, solutions)
        assert expected == mean_over_all_orders(settings, solutions)
        if settings < 7:
            solves = [True] * solutions + [False] * (settings - solutions)
            times = [order.index(True) + 1 for order in permutations(solves)]
            assert expected == Fraction(sum(times), len(times))


def test_simulated_searches_take_the_expected_time() -> None:
    solves = np.zeros(300, dtype=bool)
    solves[[3, 50, 51, 299]] = True
    times = search_times(solves, 4000, np.random.default_rng(0))
    assert times.min() >= 1
    assert times.max() <= 297  # at the latest when all 296 others have been tried
    error = times.mean() - float(expected_search_time(300, 4))
    assert abs(error) < 4 * times.std() / np.sqrt(len(times))


@pytest.mark.parametrize("arguments", [(0, 1), (5, 0), (5, 6)])
def test_a_search_needs_a_solution(arguments: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"settings|solutions"):
        expected_search_time(*arguments)
    with pytest.raises(ValueError, match="at least one solution"):
        search_times(np.zeros(4, dtype=bool), 1, np.random.default_rng(0))


def test_the_tiny_networks_that_work_are_those_the_exact_condition_allows() -> None:
    patterns, solves = TinyNetwork().search_space()
    code = patterns @ 8 ** np.arange(3)
    solutions = np.bincount(code, weights=solves.sum(axis=1), minlength=8**3)
    capable = [
        set_is_exactly_capable({PATTERNS[c // 8**k % 8] for k in range(3)}) for c in range(8**3)
    ]
    assert (solutions > 0).tolist() == capable
    assert np.bincount(code).tolist() == [len(code) / 8**3] * 8**3  # each polarity is as large


def test_the_tiny_search_space_holds_real_networks() -> None:
    tiny = TinyNetwork(units=2, levels=(-1.0, 1.0), biases=(-1.0, 0.0, 1.0))
    patterns, solves = tiny.search_space()
    kinds, rest = tiny.unit_settings()
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(patterns), size=200)
    chosen = np.concatenate([chosen, np.flatnonzero(solves.any(axis=1))[:50]])
    for setting in chosen:
        rows = np.unravel_index(setting, (len(kinds), len(kinds)))
        assert patterns[setting].tolist() == [kinds[row] for row in rows]
        for place, bias in enumerate(tiny.output_biases):
            units = []
            for row in rows:
                pattern, (size1, size2, b) = PATTERNS[kinds[row]], rest[row]
                units.append(
                    Unit(
                        pattern.first * Fraction(size1),
                        pattern.second * Fraction(size2),
                        Fraction(b),
                        pattern.output,
                    )
                )
            network = Network(tuple(units), Fraction(bias))
            right = all(
                network(x1, x2) * quadrant((x1, x2)) > 0 for x1, x2 in product((-1, 1), repeat=2)
            )
            assert right == solves[setting, place]


# --- Theorem D.3 ---------------------------------------------------------------------------------


def test_q_agrees_with_a_count_of_all_sequences() -> None:
    """All 64**2 pairs and 64**3 triples of patterns; the first 32 stand for the right ones."""
    for n_units in (1, 2, 3):
        sequences = np.stack(np.meshgrid(*[np.arange(64)] * n_units)).reshape(n_units, -1)
        ordered = np.sort(np.where(sequences < 32, sequences, 99), axis=0)
        new = np.diff(ordered, axis=0, prepend=-1) > 0
        counts = np.bincount((new & (ordered < 99)).sum(axis=0), minlength=5)
        assert counts.tolist() == [right_pattern_sequences(n_units, p) for p in range(5)]


@given(st.integers(0, 40))
def test_q_sums_to_all_sequences(n_units: int) -> None:
    total = sum(right_pattern_sequences(n_units, p) for p in range(33))
    assert total == 64**n_units


def test_probabilities_agree_with_random_networks() -> None:
    trials = 40_000
    for width in (3, 6, 10):
        t1, t2 = _random_templates(width, trials, width)
        for predicate, probability in [
            (theorem_capable, theorem_probability(width)),
            (exactly_capable, capable_probability(width)),
            (margin_capable, capable_probability(width, set_is_margin_capable)),
            (monotone, capable_probability(width, set_is_monotone)),
        ]:
            p = float(probability)
            sd = np.sqrt(p * (1 - p) / trials)
            assert abs(predicate(t1, t2).mean() - p) < 4.5 * sd


def test_capable_probability_agrees_with_all_sequences_of_patterns() -> None:
    for n_units in (1, 2, 3, 4):
        hits = sum(set_is_exactly_capable(units) for units in product(PATTERNS, repeat=n_units))
        assert capable_probability(n_units) == Fraction(hits, 8**n_units)
        right = list(product(PATTERNS[:4], repeat=n_units))
        hits = sum(set_is_exactly_capable(units) for units in right)
        assert capable_probability(n_units, among=PATTERNS[:4]) == Fraction(hits, len(right))


def test_units_needed_is_the_first_beyond_the_level() -> None:
    needed = units_needed(theorem_probability, 0.99)
    assert theorem_probability(needed) > 0.99 >= theorem_probability(needed - 1)
    with pytest.raises(ValueError, match="level must lie strictly between 0 and 1"):
        units_needed(theorem_probability, 99.0)


# --- the predicates on templates -----------------------------------------------------------------


def test_predicates_agree_with_a_loop_over_units() -> None:
    t1, t2 = _random_templates(1, 300, 5)
    sets = pattern_sets(t1, t2)
    right, distinct = right_patterns(t1, t2), distinct_right_patterns(t1, t2)
    for trial in range(len(t1)):
        units = [Pattern(*t1[trial, :2, j], t2[trial, j]) for j in range(5)]
        assert SETS[sets[trial]] == frozenset(units)
        assert right[trial].tolist() == [a * b == o for a, b, o in units]
        seen = {tuple(t1[trial, :, j]) for j in range(5) if units[j].right}
        assert distinct[trial] == len(seen)
        assert theorem_capable(t1, t2)[trial] == (len(seen) >= 3)
        assert exactly_capable(t1, t2)[trial] == set_is_exactly_capable(units)
        assert margin_capable(t1, t2)[trial] == set_is_margin_capable(units)
        assert monotone(t1, t2)[trial] == set_is_monotone(units)


def test_noise_signs_make_patterns_distinct_for_the_theorem_only() -> None:
    t1 = np.ones((1, 5, 3), dtype=np.int8)
    t1[0, 2:, :] = [[1, -1, 1], [1, 1, -1], [1, 1, 1]]
    t2 = np.ones((1, 3), dtype=np.int8)
    assert theorem_capable(t1, t2).item()
    assert not exactly_capable(t1, t2).item()


@pytest.mark.parametrize(
    ("t1", "t2", "message"),
    [
        (np.ones((2, 5, 3)), np.ones((2, 4)), r"t2 must have shape \(2, 3\)"),
        (np.ones((2, 5, 3)), np.zeros((2, 3)), "t2 must hold signs"),
        (np.full((2, 5, 3), np.nan), np.ones((2, 3)), "t1 must hold signs"),
        (np.ones((2, 1, 3)), np.ones((2, 3)), "two informative inputs"),
        (np.ones(3), np.ones(3), "two informative inputs"),
    ],
)
def test_templates_without_a_pattern_are_refused(
    t1: np.ndarray, t2: np.ndarray, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        exactly_capable(t1, t2)


# --- the cross -----------------------------------------------------------------------------------


def test_the_condition_is_the_one_in_terms_of_pairs_and_a_third_unit() -> None:
    def in_pairs(patterns: frozenset[Pattern]) -> bool:
        slopes = [pattern.slope for pattern in patterns]
        return (
            ({A, C} <= patterns and any(b < 0 for _, b in slopes))
            or ({A, D} <= patterns and any(a < 0 for a, _ in slopes))
            or ({B, C} <= patterns and any(a > 0 for a, _ in slopes))
            or ({B, D} <= patterns and any(b > 0 for _, b in slopes))
        )

    assert [in_pairs(s) for s in SETS] == [set_is_exactly_capable(s) for s in SETS]


def test_every_set_has_a_construction_or_a_certificate_never_both() -> None:
    family = KinkFamily.on_square([(1, 0), (0, 1), (1, 1), (1, 2), (2, 1)], range(-2, 3))
    for patterns in SETS:
        if set_is_exactly_capable(patterns):
            network, obeyed = construct(patterns)
            assert set(obeyed) <= patterns
            assert all(u.obeys(p) for u, p in zip(network.units, obeyed, strict=True))
            assert network.draws_cross()
            with pytest.raises(ValueError, match="nothing to refute"):
                certificate(patterns)
        else:
            # Every kink of the family that misses the origin is at least 1/2 away along the axes.
            reason = certificate(patterns, scale=Fraction(1, 8))
            assert reason.refutes(family.units(patterns))
            with pytest.raises(ValueError, match="must be exactly capable"):
                construct(patterns)


def test_slope_certificates_hold_for_random_units_too() -> None:
    rng = np.random.default_rng(0)
    for patterns in SETS:
        if set_is_monotone(patterns):
            units = [
                Unit(
                    *(int(s) * int(v) for s, v in zip(p[:2], rng.integers(0, 99, 2), strict=True)),
                    int(rng.integers(-99, 99)),
                    p.output,
                )
                for p in patterns
                for _ in range(20)
            ]
            assert certificate(patterns, scale=7).refutes(units)


def test_a_certificate_refutes_nothing_it_should_not() -> None:
    network, _ = construct(PATTERNS)
    monotone_reason = certificate({A, C})
    assert not monotone_reason.refutes(network.units)
    turned = Certificate("", tuple((-weight, point) for weight, point in monotone_reason.atoms))
    assert not turned.refutes(KinkFamily.on_square([(1, 1)], [0]).units({A, C}))
    unbalanced = Certificate("", monotone_reason.atoms[:1])
    assert not unbalanced.refutes([])


def test_linear_programmes_over_kinks_agree_with_the_condition() -> None:
    family = KinkFamily.on_square([(1, 0), (0, 1), (1, 1), (1, 2), (2, 1)], range(-1, 2))
    margins = np.array([family.margin(patterns) for patterns in SETS])
    capable = np.array([set_is_exactly_capable(patterns) for patterns in SETS])
    assert margins[capable].min() > 0.3
    assert margins[~capable].max() < 1e-9


def test_linear_programmes_with_a_margin_agree_with_the_margin_condition() -> None:
    family = KinkFamily.through(product((-3, -1, 1, 3), repeat=2))
    margins = np.array([family.margin(patterns) for patterns in SETS])
    capable = np.array([set_is_margin_capable(patterns) for patterns in SETS])
    assert margins[capable].min() > 0.1
    assert margins[~capable].max() < 1e-9


def test_three_units_are_needed_and_enough() -> None:
    sizes = [len(patterns) for patterns in SETS if set_is_exactly_capable(patterns)]
    assert min(sizes) == 3
    # Any three different right patterns do; some sets with one wrong pattern do too.
    smallest = {_names(s) for s in SETS if len(s) == 3 and set_is_exactly_capable(s)}
    assert {"ABC", "ABD", "ACD", "BCD"} < smallest
    assert len(smallest) == 12


def test_exact_check_sees_a_boundary_that_is_slightly_off() -> None:
    network, _ = construct({A, C, B})
    assert network.draws_cross(half_width=1)
    nudged = Network(network.units, network.bias + Fraction(1, 10**9))
    assert not nudged.draws_cross()
    # The third unit is level only on the square it was made for.
    assert not network.draws_cross(half_width=2)
    assert construct({A, C, B}, half_width=2)[0].draws_cross(half_width=2)


def test_exact_check_is_not_fooled_between_the_axes() -> None:
    """Right at every corner that its kinks and the axes make, yet zero on a diamond around 0."""
    signs = list(product((1, -1), repeat=2))
    flat = Network(tuple(Unit(a, b, -1, a * b) for a, b in signs))
    assert all(flat(a, b) * quadrant((a, b)) > 0 for a, b in signs)
    assert flat(Fraction(1, 4), Fraction(1, 4)) == 0
    assert not flat.draws_cross()


def test_monotone_templates_never_pass_three_quarters() -> None:
    """The bound itself: any magnitudes, biases and noise weights; the error is that of the data."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(4, 5000, 5))
    # Exact quarters: mirror every point in both informative inputs.
    x = np.concatenate([x, x * [-1, 1, 1, 1, 1]], axis=1)
    x = np.concatenate([x, x * [1, -1, 1, 1, 1]], axis=1)
    for trial in range(4):
        t1 = rng.choice([-1, 1], size=(5, 30))
        w1, w2 = t1 * rng.random((5, 30)), t1[0] * rng.random(30)
        assert monotone(t1[None], t1[None, 0]).item()
        out = np.maximum(x[trial] @ w1 + rng.normal(size=30), 0) @ w2
        out -= np.median(out)
        right = (out > 0) == (x[trial, :, 0] * x[trial, :, 1] > 0)
        assert right.mean() <= 0.75


# --- prediction ----------------------------------------------------------------------------------


def test_gap_at_one_width_is_the_difference_of_two_rates() -> None:
    learned = np.array([[1, 1, 1, 0, 1, 0, 0, 0, 0, 0]], dtype=bool)
    capable = np.array([[1, 1, 1, 1, 0, 0, 0, 0, 0, 0]], dtype=bool)
    gap = success_gap(learned, capable)
    assert gap.value == pytest.approx(3 / 4 - 1 / 6)
    assert gap.low < gap.value < gap.high
    assert gap.n == 10


def test_gap_is_taken_within_widths() -> None:
    """Width decides who learns here, and who is capable, but at each width they are independent."""
    capable = np.array([[0] * 90 + [1] * 10, [1] * 90 + [0] * 10], dtype=bool)
    learned = np.zeros((2, 100), dtype=bool)
    learned[0, ::10] = True
    learned[1] = True
    learned[1, ::10] = False
    assert abs(success_gap(learned, capable).value) < 1e-12
    pooled = learned[capable].mean() - learned[~capable].mean()
    assert pooled > 0.6


def test_widths_weigh_by_how_well_they_can_compare() -> None:
    capable = np.array([[1, 1, 0, 0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]], dtype=bool)
    learned = np.array([[1, 1, 0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]], dtype=bool)
    # Gaps 1 and 0, with weights 2 * 8 / 10 and 5 * 5 / 10.
    assert success_gap(learned, capable).value == pytest.approx(1.6 / (1.6 + 2.5))


def test_difference_of_gaps_is_that_of_two_gaps() -> None:
    rng = np.random.default_rng(0)
    learned = rng.random((3, 400)) < 0.5
    good, poor = (learned ^ (rng.random((3, 400)) < noise) for noise in (0.1, 0.4))
    difference = success_gap(learned, good, poor)
    expected = success_gap(learned, good).value - success_gap(learned, poor).value
    assert difference.value == pytest.approx(expected)
    assert 0 < difference.low < expected < difference.high
    assert success_gap(learned, good, good).high == 0


def test_gap_without_both_kinds_is_undefined() -> None:
    everyone = np.ones((2, 5), dtype=bool)
    gap = success_gap(everyone, everyone)
    assert np.isnan([gap.value, gap.low, gap.high]).all()
    with pytest.raises(ValueError, match=r"learned and capable must have the same shape"):
        success_gap(everyone, everyone[:1])


def test_bootstrap_interval_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    p_capable, rates = 0.7, np.array([0.3, 0.8])
    hits = 0
    for seed in range(200):
        capable = rng.random((2, 80)) < p_capable
        learned = rng.random((2, 80)) < rates[capable.astype(int)]
        gap = success_gap(learned, capable, n_resamples=400, seed=seed)
        hits += gap.low <= 0.5 <= gap.high
    assert 0.88 <= hits / 200 <= 0.99
