"""Estimates, intervals and tests: hand cases, values from R, properties, and what is refused."""

import doctest
import json
import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

import polarity.analysis.estimate as estimate_module
from polarity.analysis.metrics import quartiles
from polarity.analysis.statistics import (
    Estimate,
    bootstrap_difference,
    bootstrap_ratio,
    compare_to_reference,
    holm,
    kaplan_meier_curve,
    kaplan_meier_median,
    logrank,
    median,
    median_among_successful,
    restricted_mean,
    spread,
    success_proportion,
)

NAN, INF = math.nan, math.inf
HORIZON = 100

# Few arrive, early, against all arrive, later: the first looks fastest where "never" is dropped.
FEW_EARLY = [10, 12, 15, NAN, NAN, NAN, NAN]
ALL_LATER = [20, 30, 40, 50, 60, 70, 80]

ORACLES = json.loads((Path(__file__).parent / "data" / "oracles.json").read_text())


@pytest.fixture(scope="module", autouse=True)
def no_collection():
    """statsmodels collects garbage after every correction: 0.1 s, hundreds of times here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gc.collect", lambda *_: 0)
        yield


def numbers(values):
    """A list from the JSON, in which null is NA."""
    return np.array(values, float)


def from_r(key):
    return [pytest.param(case, id=f"{key}-{i}") for i, case in enumerate(ORACLES[key])]


samples_from_r = pytest.mark.parametrize(
    "case", [pytest.param(case, id=name) for name, case in ORACLES["samples"].items()]
)

all_reach = st.lists(st.integers(0, 99), min_size=1, max_size=40)
some_reach = st.lists(st.one_of(st.integers(0, 99), st.just(NAN)), min_size=1, max_size=40)


# --- Estimate ----------------------------------------------------------------------------------


def test_the_examples_in_the_documentation_run():
    assert doctest.testmod(estimate_module).failed == 0


def test_estimate_reads_well():
    share = Estimate(0.58, 0.451, 0.702, n=50, method="share")
    assert f"{share:.1%}" == "58.0\u00a0% (45.1\u00a0% to 70.2\u00a0%)"
    assert str(share) == f"{share}" == "0.58 (0.451 to 0.702)"
    assert f"{Estimate(-0.5, -1, INF, n=3, method='difference'):.1f}" == "−0.5 (−1.0 to ∞)"
    assert f"{Estimate(INF, -INF, INF, n=3, method='median'):.0f}" == "∞ (−∞ to ∞)"
    assert f"{Estimate(NAN, NAN, NAN, n=0, method='median')}" == "undefined"
    assert f"{Estimate(2, NAN, NAN, n=1, method='median'):.1f}" == "2.0 (no interval)"
    nothing = Estimate(-0.0004, -0.02, 0.0004, n=9, method="difference")
    assert f"{nothing:.1pt}" == "0.0 points (−2.0 to 0.0)" and f"{nothing:+.0%}".startswith("+0")


@settings(deadline=None)
@given(
    value=st.floats(),
    bounds=st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)).map(sorted),
    defined=st.booleans(),
    n=st.integers(0, 10**6),
    confidence=st.floats(0, 1, exclude_min=True, exclude_max=True),
)
def test_estimate_survives_strict_json(value, bounds, defined, n, confidence):
    low, high = bounds if defined else (NAN, NAN)
    estimate = Estimate(value, low, high, n, confidence, "any")
    text = json.dumps(estimate.to_dict(), allow_nan=False)
    again = Estimate.from_dict(json.loads(text))
    np.testing.assert_equal(again.__dict__, estimate.__dict__)


def test_estimate_keeps_a_method_that_is_called_like_a_special_number():
    estimate = Estimate(1, 0, 2, n=3, method="inf")
    assert Estimate.from_dict(estimate.to_dict()) == estimate


def test_estimate_holds_plain_floats():
    estimate = Estimate(np.float32(0.5), np.float64(0), 1, np.int64(3), np.float64(0.9), "any")
    assert all(type(estimate.__dict__[name]) is float for name in ("value", "low", "high"))
    assert type(estimate.n) is int and type(estimate.confidence) is float
    with pytest.raises(AttributeError):
        estimate.value = 1.0


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"low": 2.0}, ValueError, "low must not exceed high, got 2.0 and 1.0"),
        ({"low": NAN}, ValueError, "both be NaN or neither"),
        ({"n": -1}, ValueError, "n must be at least 0"),
        ({"n": 1.5}, TypeError, "n must be a whole number"),
        ({"confidence": 95}, ValueError, "confidence must lie strictly between 0 and 1"),
        ({"confidence": 1.0}, ValueError, "confidence must lie strictly between 0 and 1"),
        ({"method": " "}, ValueError, "method"),
        ({"value": "0.5"}, TypeError, "value must be a real number, got '0.5'"),
        ({"value": True}, TypeError, "value must be a real number, got True"),
        ({"high": 1j}, TypeError, "high must be a real number"),
    ],
)
def test_estimate_refuses(change, error, message):
    fields = {"value": 0.5, "low": 0.0, "high": 1.0, "n": 5, "confidence": 0.95, "method": "any"}
    with pytest.raises(error, match=message):
        Estimate(**fields | change)


def test_estimate_from_dict_names_wrong_fields():
    data = Estimate(0.5, 0, 1, n=5, method="any").to_dict()
    with pytest.raises(ValueError, match=r"missing \['high'\], unknown \['hihg'\]"):
        Estimate.from_dict({"hihg" if key == "high" else key: data[key] for key in data})
    with pytest.raises(TypeError, match="value must be a real number, got 'many'"):
        Estimate.from_dict(data | {"value": "many"})


# --- survivorship ------------------------------------------------------------------------------


def test_the_papers_median_is_conditional_on_success_and_the_others_are_not():
    paper = median_among_successful(FEW_EARLY)
    assert paper.value == 12 and paper.n == 3
    assert "3 of 7 trials" in paper.method and "conditional on success" in paper.method
    assert median_among_successful(ALL_LATER).value == 50

    assert kaplan_meier_median(FEW_EARLY, HORIZON).value == INF
    assert kaplan_meier_median(ALL_LATER, HORIZON).value == 50

    few, every = restricted_mean(FEW_EARLY, HORIZON), restricted_mean(ALL_LATER, HORIZON)
    assert few.value == pytest.approx((10 + 12 + 15 + 4 * 100) / 7)
    assert every.value == pytest.approx(50)
    assert few.value > every.value

    assert round(logrank(FEW_EARLY, ALL_LATER, HORIZON).p, 2) == 0.16


def test_an_infinite_median_has_an_honest_interval():
    few = kaplan_meier_median(FEW_EARLY, HORIZON)
    assert (few.low, few.high, few.n) == (10, INF, 7)
    none = kaplan_meier_median([NAN] * 8, HORIZON)
    assert (none.value, none.low, none.high) == (INF, INF, INF)
    half = kaplan_meier_median([5, 6, NAN, NAN], HORIZON)
    assert (half.value, half.low, half.high) == (INF, 0, INF)


def test_one_trial_bounds_nothing():
    assert kaplan_meier_median([5], HORIZON).low == 0
    assert kaplan_meier_median([5], HORIZON).high == INF
    assert (restricted_mean([5], HORIZON).low, restricted_mean([5], HORIZON).high) == (0, HORIZON)
    assert (median([5]).low, median([5]).high) == (-INF, INF)


def test_nobody_successful_leaves_the_papers_median_undefined():
    estimate = median_among_successful([NAN, NAN])
    assert math.isnan(estimate.value) and math.isnan(estimate.low) and estimate.n == 0
    assert "0 of 2 trials" in estimate.method
    assert restricted_mean([NAN, NAN], HORIZON).value == HORIZON


def test_numpy_still_warns_afterwards():
    before = np.geterr()
    kaplan_meier_median(FEW_EARLY, HORIZON)
    restricted_mean(FEW_EARLY, HORIZON)
    kaplan_meier_curve(FEW_EARLY, HORIZON)
    logrank(FEW_EARLY, ALL_LATER, HORIZON)
    assert np.geterr() == before and before["invalid"] == "warn"


@samples_from_r
def test_survival_equals_r(case):
    epochs, horizon = numbers(case["epochs"]), ORACLES["horizon"]
    curve = kaplan_meier_curve(epochs, horizon)
    arrivals = curve[curve["reached"] > 0]
    np.testing.assert_allclose(arrivals.index, case["curve"]["epoch"])
    np.testing.assert_allclose(arrivals["survival"], case["curve"]["survival"])
    np.testing.assert_array_equal(arrivals["at_risk"], case["curve"]["at_risk"])
    np.testing.assert_array_equal(arrivals["reached"], case["curve"]["reached"])

    middle = kaplan_meier_median(epochs, horizon)
    keys = ("median", "median_low", "median_high")
    expected = [INF if case[key] is None else case[key] for key in keys]
    np.testing.assert_allclose([middle.value, middle.low, middle.high], expected)

    mean = restricted_mean(epochs, horizon, confidence=0.9)
    assert mean.value == pytest.approx(case["restricted_mean"])
    low, high = case["t_interval_90"]
    assert (mean.low, mean.high) == pytest.approx((max(low, 0), min(high, horizon)))
    # R's standard error is Greenwood's, without the n - 1 of Student's interval.
    error = case["restricted_mean_se"] * math.sqrt(len(epochs) / (len(epochs) - 1))
    reach = stats.t.ppf(0.95, len(epochs) - 1) * error
    assert (low, high) == pytest.approx((mean.value - reach, mean.value + reach))

    successful = median_among_successful(epochs)
    assert successful.value == pytest.approx(case["quartiles_reached"][1])


@samples_from_r
def test_quartiles_equal_r(case):
    result = quartiles(xr.DataArray(numbers(case["epochs"]), dims="trial"), skipna=True)
    np.testing.assert_allclose(result, case["quartiles_reached"])


@pytest.mark.parametrize("case", from_r("logrank"))
def test_logrank_equals_r(case):
    a, b = (numbers(ORACLES["samples"][case[side]]["epochs"]) for side in ("a", "b"))
    result = logrank(a, b, ORACLES["horizon"])
    assert result.statistic == pytest.approx(case["statistic"])
    assert result.p == pytest.approx(case["p"])
    assert (result.n_a, result.n_b) == (len(a), len(b))


@settings(deadline=None)
@given(some_reach, some_reach)
def test_logrank_equals_scipy(a, b):
    a, b = np.array(a, float), np.array(b, float)
    result = logrank(a, b, HORIZON)
    assert result.p == pytest.approx(logrank(b, a, HORIZON).p)
    assume(not (np.isnan(a).all() and np.isnan(b).all()))
    assume(len(set(a[~np.isnan(a)]) | set(b[~np.isnan(b)])) > 1)  # SciPy divides by zero
    assert result.p == pytest.approx(stats.logrank(censored(a), censored(b)).pvalue, abs=1e-9)


def test_the_curve_ends_at_exactly_nought():
    curve = kaplan_meier_curve([0, 0, 5], HORIZON)
    assert curve.index.tolist() == [0, 5, HORIZON]
    assert curve["low"].tolist()[1:] == curve["survival"].tolist()[1:] == [0, 0]
    assert 0.5 < curve.loc[HORIZON, "high"] < 0.6  # three of three arrived, which is not all


def test_logrank_of_nothing_reached():
    result = logrank([NAN, NAN], [NAN], HORIZON)
    assert (result.statistic, result.p, result.n_a, result.n_b) == (0.0, 1.0, 2, 1)


def censored(epochs):
    epochs = np.asarray(epochs, float)
    never = np.isnan(epochs)
    return stats.CensoredData.right_censored(np.where(never, HORIZON, epochs), never)


@settings(deadline=None)
@given(some_reach)
def test_kaplan_meier_equals_scipy(epochs):
    curve = kaplan_meier_curve(epochs, HORIZON)
    expected = stats.ecdf(censored(epochs)).sf.evaluate(curve.index.to_numpy())
    np.testing.assert_allclose(curve["survival"], expected, atol=1e-12)


@settings(deadline=None)
@given(some_reach)
def test_kaplan_meier_curve_is_a_share_of_the_trials(epochs):
    """All censoring is at the horizon, on which the Wilson bounds rely."""
    epochs = np.array(epochs, float)
    curve = kaplan_meier_curve(epochs, HORIZON, confidence=0.9)
    assert curve.index[0] == 0 and curve.index[-1] == HORIZON
    assert curve.index.is_monotonic_increasing and curve.index.is_unique
    for epoch, row in curve.iterrows():
        waiting = int((~(epochs <= epoch)).sum())
        share = success_proportion(waiting, epochs.size, confidence=0.9)
        assert tuple(row[["survival", "low", "high"]]) == pytest.approx(
            (share.value, share.low, share.high), abs=1e-12
        )
        assert row["low"] <= row["survival"] <= row["high"]
        assert row["reached"] == (epochs == epoch).sum()
        assert row["at_risk"] == waiting + row["reached"]


@settings(deadline=None)
@given(all_reach)
def test_without_censoring_survival_statistics_are_the_ordinary_ones(epochs):
    estimate = kaplan_meier_median(epochs, HORIZON)
    ordinary = median(epochs)
    assert estimate.value == np.median(epochs) == ordinary.value
    assert (estimate.low, estimate.high) == (max(ordinary.low, 0), ordinary.high)
    successful = median_among_successful(epochs)
    assert (successful.value, successful.low, successful.high) == (
        estimate.value,
        estimate.low,
        estimate.high,
    )
    assert restricted_mean(epochs, HORIZON).value == pytest.approx(np.mean(epochs))


@settings(deadline=None)
@given(some_reach)
def test_a_trial_that_never_arrives_counts_as_later_than_all(epochs):
    filled = np.where(np.isnan(epochs), INF, epochs)
    estimate = kaplan_meier_median(epochs, HORIZON)
    assert estimate.value == np.median(filled)
    assert estimate.low <= estimate.value <= estimate.high
    mean = restricted_mean(epochs, HORIZON)
    assert mean.value == pytest.approx(np.minimum(filled, HORIZON).mean())
    assert 0 <= mean.low <= mean.high <= HORIZON


@pytest.mark.parametrize(
    "statistic",
    [
        lambda x: kaplan_meier_median(x, HORIZON),
        lambda x: restricted_mean(x, HORIZON),
        lambda x: kaplan_meier_curve(x, HORIZON),
        lambda x: logrank(x, [1.0], HORIZON),
        lambda x: logrank([1.0], x, HORIZON),
    ],
)
@pytest.mark.parametrize(
    ("epochs", "error", "message"),
    [
        ([], ValueError, "must not be empty"),
        ([[1.0], [2.0]], ValueError, r"one-dimensional.*\(2, 1\)"),
        (5.0, ValueError, "one-dimensional"),
        ([-1.0], ValueError, "at least 0 and at most the horizon 100.*got -1"),
        ([101.0], ValueError, "at most the horizon 100, or NaN for never; got 101"),
        ([INF], ValueError, "finite.*got inf"),
        ([True, False], TypeError, "real numbers, got dtype bool"),
        (["5"], TypeError, "real numbers"),
        ([1j], TypeError, "real numbers"),
    ],
)
def test_epochs_that_are_refused(statistic, epochs, error, message):
    with pytest.raises(error, match=message):
        statistic(epochs)


@pytest.mark.parametrize("horizon", [0, -1, NAN, INF])
@pytest.mark.parametrize("statistic", [kaplan_meier_median, restricted_mean, kaplan_meier_curve])
def test_horizon_that_is_refused(statistic, horizon):
    with pytest.raises(ValueError, match="horizon must be finite and greater than 0"):
        statistic([1.0], horizon)


@pytest.mark.parametrize("confidence", [0, 1, 95, -0.1, NAN])
@pytest.mark.parametrize(
    "statistic",
    [
        lambda c: median([1.0], confidence=c),
        lambda c: success_proportion(1, 2, confidence=c),
        lambda c: median_among_successful([1.0], confidence=c),
        lambda c: kaplan_meier_median([1.0], HORIZON, confidence=c),
        lambda c: restricted_mean([1.0], HORIZON, confidence=c),
        lambda c: kaplan_meier_curve([1.0], HORIZON, confidence=c),
        lambda c: bootstrap_difference([1.0, 2.0], [1.0, 2.0], confidence=c),
    ],
)
def test_confidence_outside_the_open_unit_interval(statistic, confidence):
    with pytest.raises(ValueError, match="confidence must lie strictly between 0 and 1"):
        statistic(confidence)


@pytest.mark.parametrize(
    "statistic",
    [
        median,
        median_among_successful,
        lambda x, confidence: kaplan_meier_median(x, HORIZON, confidence=confidence),
        lambda x, confidence: bootstrap_difference(x, 0 * x, confidence=confidence),
        lambda x, confidence: bootstrap_difference(
            x, 0 * x, "mean", method="BCa", confidence=confidence
        ),
    ],
)
def test_less_confidence_gives_a_narrower_interval(statistic):
    values = np.arange(50.0)
    half, most = (statistic(values, confidence=confidence) for confidence in (0.5, 0.95))
    assert most.low < half.low < half.value < half.high < most.high
    assert (half.confidence, most.confidence) == (0.5, 0.95)


def test_the_papers_median_has_the_interval_of_those_that_got_there():
    there = [10, 12, 15, 16, 17, 18, 19, 20]
    of_all, of_them = median_among_successful(there + 4 * [NAN]), median(there)
    assert (of_all.low, of_all.high) == (of_them.low, of_them.high)


# --- median, proportion, spread ----------------------------------------------------------------


def test_median_interval_by_binomial_ranks():
    """Ranks 2 and 9 of 10, and 18 and 33 of 50: the textbook table of the sign test at 95 %."""
    ten = median(np.arange(1, 11))
    assert (ten.value, ten.low, ten.high, ten.n) == (5.5, 2, 9, 10)
    fifty = median(np.arange(1, 51))
    assert (fifty.low, fifty.high) == (18, 33)
    assert (median(np.arange(5)).low, median(np.arange(5)).high) == (-INF, INF)
    assert (median(np.arange(6)).low, median(np.arange(6)).high) == (0, 5)


@pytest.mark.parametrize("n", [6, 11, 20])
def test_median_interval_covers_as_often_as_it_says(n):
    """By the binomial: the median lies between ranks l and u unless too many fall to one side."""
    estimate = median(np.arange(1, n + 1))
    below, above = estimate.low - 1, n - estimate.high
    missed = stats.binom.cdf(below, n, 0.5) + stats.binom.cdf(above, n, 0.5)
    tighter = stats.binom.cdf(below + 1, n, 0.5) + stats.binom.cdf(above + 1, n, 0.5)
    assert missed <= 0.05 < tighter


def test_median_and_nan():
    with pytest.raises(ValueError, match="1 NaN among 3 values"):
        median([1, NAN, 3])
    kept = median([1, NAN, 3], nan="omit")
    assert (kept.value, kept.n) == (2, 2)
    with pytest.raises(ValueError, match="at least one number, got 2 NaN"):
        median([NAN, NAN], nan="omit")
    with pytest.raises(ValueError, match="nan must be one of raise, omit"):
        median([1.0], nan="propagate")


@pytest.mark.parametrize("statistic", [median, spread])
def test_samples_that_are_refused(statistic):
    with pytest.raises(ValueError, match="values must not be empty"):
        statistic([])
    with pytest.raises(ValueError, match="one-dimensional"):
        statistic([[1.0, 2.0]])
    with pytest.raises(TypeError, match="real numbers"):
        statistic([True])


@pytest.mark.parametrize("case", from_r("wilson"))
def test_proportion_equals_r(case):
    estimate = success_proportion(case["k"], case["n"], confidence=case["confidence"])
    assert estimate.value == case["k"] / case["n"]
    assert (estimate.low, estimate.high) == pytest.approx(case["interval"], abs=1e-12)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


@pytest.mark.parametrize(
    ("k", "n", "error", "message"),
    [
        (3, 2, ValueError, "k must be at most n, got k = 3 and n = 2"),
        (-1, 2, ValueError, "k must be at least 0"),
        (0, 0, ValueError, "n must be at least 1"),
        (0.5, 2, TypeError, "k must be a whole number"),
        (True, 2, TypeError, "k must be a whole number"),
    ],
)
def test_proportion_refuses(k, n, error, message):
    with pytest.raises(error, match=message):
        success_proportion(k, n)


def test_spread_is_the_central_range_of_the_draws():
    twenty = spread(np.arange(20.0))
    assert (twenty.value, twenty.low, twenty.high, twenty.n) == (9.5, 0, 19, 20)
    assert "no confidence interval" in twenty.method
    many = spread(np.arange(1001.0), coverage=0.9)
    assert (many.low, many.high, many.confidence) == (50, 950, 0.9)
    never = spread([1.0, 2.0, 3.0, INF, INF])
    assert (never.value, never.low, never.high) == (3, 1, INF)
    with pytest.raises(ValueError, match="coverage must lie strictly between 0 and 1"):
        spread([1.0], coverage=95)
    alone = spread([0.3])
    assert alone.value == 0.3 and math.isnan(alone.low) and math.isnan(alone.high)


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=200), st.floats(0.01, 0.99))
def test_spread_holds_at_least_its_share_of_the_draws(values, coverage):
    with np.errstate(over="ignore", invalid="ignore"):  # the median of the largest floats
        estimate = spread(values, coverage=coverage)
    inside = np.mean((np.array(values) >= estimate.low) & (np.array(values) <= estimate.high))
    assert inside >= coverage - 1e-9
    assert {estimate.low, estimate.high} <= set(values)


# --- bootstrap ---------------------------------------------------------------------------------


@pytest.fixture
def two_samples():
    rng = np.random.default_rng(3)
    a = rng.normal(10, 2, 30)
    return a, a + rng.normal(1, 0.5, 30)


@pytest.mark.parametrize("method", ["percentile", "BCa"])
@pytest.mark.parametrize("paired", [False, True])
def test_bootstrap_equals_scipy(two_samples, method, paired):
    a, b = two_samples
    estimate = bootstrap_difference(
        a, b, "mean", method=method, paired=paired, rng=5, n_resamples=999
    )
    plain = stats.bootstrap(
        two_samples,
        lambda x, y, axis: x.mean(axis) - y.mean(axis),
        paired=paired,
        vectorized=True,
        n_resamples=999,
        method=method,
        rng=np.random.default_rng(5),
    ).confidence_interval
    # Percentiles of the resamples are observed ones here, and interpolated there.
    assert (estimate.low, estimate.high) == pytest.approx(tuple(plain), abs=0.03)
    assert estimate.value == pytest.approx(np.mean(a) - np.mean(b))
    assert method in estimate.method
    assert estimate.n == (30 if paired else 60)


def test_pairs_are_resampled_together(two_samples):
    a, b = two_samples
    together = bootstrap_difference(a, b, "mean", paired=True)
    apart = bootstrap_difference(a, b, "mean")
    student = stats.ttest_rel(a, b).confidence_interval()
    assert (together.low, together.high) == pytest.approx(tuple(student), abs=0.05)
    assert together.high - together.low < 0.5 * (apart.high - apart.low)
    # A constant shift: every resample of pairs has the same difference.
    shifted = bootstrap_difference(a + 1, a, "mean", paired=True)
    assert (shifted.low, shifted.high) == pytest.approx((1, 1))


def test_the_seed_decides(two_samples):
    a, b = two_samples
    assert bootstrap_ratio(a, b) == bootstrap_ratio(a, b)
    assert bootstrap_ratio(a, b) == bootstrap_ratio(a, b, rng=np.random.default_rng(0))
    assert bootstrap_ratio(a, b, "mean") != bootstrap_ratio(a, b, "mean", rng=1)


def test_ratio_is_the_ratio(two_samples):
    a, b = two_samples
    estimate = bootstrap_ratio(a, b, "mean", paired=True)
    assert estimate.value == pytest.approx(a.mean() / b.mean())
    assert estimate.low < estimate.value < estimate.high
    other_way = bootstrap_ratio(b, a, "mean", paired=True)
    assert (1 / other_way.high, 1 / other_way.low) == pytest.approx((estimate.low, estimate.high))


@pytest.mark.parametrize("method", ["percentile", "BCa"])
@pytest.mark.parametrize("statistic", ["mean", "median", "kaplan_meier_median"])
def test_degenerate_samples_give_an_interval_without_width(statistic, method):
    difference = bootstrap_difference([2.0] * 5, [1.0] * 4, statistic, method=method)
    assert (difference.value, difference.low, difference.high) == (1, 1, 1)
    ratio = bootstrap_ratio([2.0] * 5, [1.0] * 5, statistic, method=method, paired=True)
    assert (ratio.value, ratio.low, ratio.high) == (2, 2, 2)
    assert ("no BCa interval exists" in ratio.method) == (method == "BCa")


def test_censored_epochs_reach_the_statistic():
    ratio = bootstrap_ratio(FEW_EARLY, ALL_LATER, "restricted_mean", horizon=HORIZON)
    assert ratio.value == pytest.approx(
        restricted_mean(FEW_EARLY, HORIZON).value / restricted_mean(ALL_LATER, HORIZON).value
    )
    assert ratio.low < ratio.value < ratio.high < INF
    paper = bootstrap_ratio(FEW_EARLY, ALL_LATER, "median_among_successful")
    assert paper.value == 12 / 50
    whole = bootstrap_difference(FEW_EARLY, ALL_LATER, "kaplan_meier_median")
    assert whole.value == INF and whole.high == INF and math.isfinite(whole.low)


@given(some_reach)
@settings(max_examples=20, deadline=None)
def test_named_statistics_equal_those_of_one_sample(epochs):
    assume(len(epochs) > 1)
    zero = [0.0, 0.0]
    for name, value in {
        "kaplan_meier_median": kaplan_meier_median(epochs, HORIZON).value,
        "median_among_successful": median_among_successful(epochs).value,
    }.items():
        estimate = bootstrap_difference(epochs, zero, name, n_resamples=9)
        np.testing.assert_equal(estimate.value, value)
    estimate = bootstrap_difference(epochs, zero, "restricted_mean", horizon=HORIZON, n_resamples=9)
    assert estimate.value == pytest.approx(restricted_mean(epochs, HORIZON).value)


def test_undefined_resamples_widen_the_interval_and_are_counted():
    """One success among five: a third of the resamples have no median at all."""
    estimate = bootstrap_difference(
        [10.0, NAN, NAN, NAN, NAN], ALL_LATER, "median_among_successful"
    )
    assert estimate.value == -40
    assert (estimate.low, estimate.high) == (-INF, INF)
    undefined = int(estimate.method.split(" resamples, ")[1].split()[0])
    assert undefined / 9999 == pytest.approx(0.8**5, abs=0.02)
    ratio = bootstrap_ratio([10.0, NAN, NAN, NAN, NAN], ALL_LATER, "median_among_successful")
    assert (ratio.low, ratio.high) == (0, INF)
    few = bootstrap_ratio(FEW_EARLY, ALL_LATER, "median_among_successful")  # about 2 %
    assert few.low > 0 and few.high < INF and "undefined" in few.method
    accelerated = bootstrap_ratio(FEW_EARLY, ALL_LATER, "median_among_successful", method="BCa")
    assert (accelerated.low, accelerated.high) == (few.low, few.high)
    assert "no BCa interval exists" in accelerated.method


def test_infinite_resamples_take_part():
    mostly = [5, 6, 7, 8, 9, 10, 11, 12, 13, NAN, NAN, NAN]
    for method in ("percentile", "BCa"):
        estimate = bootstrap_difference(mostly, ALL_LATER, "kaplan_meier_median", method=method)
        assert estimate.value == 10.5 - 50
        assert math.isfinite(estimate.low) and estimate.high == INF
        assert f"bootstrap {method}," in estimate.method


def test_an_undefined_value_has_no_interval():
    for estimate in (
        bootstrap_difference([NAN, NAN], [1.0, 2.0], "median_among_successful"),
        bootstrap_difference([NAN, NAN], [NAN, NAN], "kaplan_meier_median"),
        bootstrap_ratio([0.0, 0.0], [0.0, 0.0]),
    ):
        assert math.isnan(estimate.value) and math.isnan(estimate.low)
    assert bootstrap_ratio([1.0, 1.0], [0.0, 0.0]).value == INF


def test_any_callable_is_a_statistic(two_samples):
    def by_axis(values, axis):
        return np.nanmax(values, axis=axis)

    def one_sample(values):
        assert values.ndim == 1
        return np.nanmax(values)

    a, b = two_samples
    a = np.append(a, NAN)
    fast = bootstrap_difference(a, b, by_axis, n_resamples=99)
    slow = bootstrap_difference(a, b, one_sample, n_resamples=99)
    assert (fast.value, fast.low, fast.high) == (slow.value, slow.low, slow.high)
    assert "by_axis" in fast.method


@pytest.mark.parametrize(
    ("a", "b", "options", "error", "message"),
    [
        ([1.0], [1.0, 2.0], {}, ValueError, "two trials or more, got 1 and 2"),
        ([], [1.0, 2.0], {}, ValueError, "a must not be empty"),
        ([1.0, 2.0], [[1.0, 2.0]], {}, ValueError, "b must be one-dimensional"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], {"paired": True}, ValueError, "same length, got 2 and 3"),
        ([1.0, NAN], [1.0, 2.0], {}, ValueError, "a holds NaN.*'median'.*kaplan_meier_median"),
        ([1.0, 2.0], [1.0, 2.0], {"statistic": "mode"}, ValueError, "statistic must be one of"),
        ([1.0, 2.0], [1.0, 2.0], {"method": "bca"}, ValueError, "method must be one of"),
        ([1.0, 2.0], [1.0, 2.0], {"n_resamples": 0}, ValueError, "n_resamples must be at least"),
        ([1.0, 2.0], [1.0, 2.0], {"n_resamples": 1e3}, TypeError, "n_resamples must be a whole"),
        ([1.0, 2.0], [1.0, 2.0], {"statistic": "restricted_mean"}, ValueError, "needs the hor"),
        ([1.0, 2.0], [1.0, 2.0], {"horizon": 100}, ValueError, "horizon belongs to"),
        (
            [1.0, 2.0],
            [1.0, 101.0],
            {"statistic": "restricted_mean", "horizon": 100},
            ValueError,
            "b must be at most the horizon 100.*got 101",
        ),
    ],
)
@pytest.mark.parametrize("bootstrap", [bootstrap_difference, bootstrap_ratio])
def test_bootstrap_refuses(bootstrap, a, b, options, error, message):
    with pytest.raises(error, match=message):
        bootstrap(a, b, **options)


def test_a_ratio_needs_a_natural_zero():
    with pytest.raises(ValueError, match="b must not be negative in a ratio, got -2"):
        bootstrap_ratio([1.0, 2.0], [1.0, -2.0])


# --- comparison with a reference ---------------------------------------------------------------


@pytest.mark.parametrize("case", from_r("mann_whitney"))
def test_mann_whitney_equals_r(case):
    table = compare_to_reference(
        case["y"], {"other": case["x"]}, alternative=case["alternative"].replace(".", "-")
    )
    row = table.loc["other"]
    assert row["U"] == case["U"]
    assert row["p"] == pytest.approx(case["p"])
    assert row["p_holm"] == row["p"]
    assert row["effect"] == pytest.approx(case["U"] / (len(case["x"]) * len(case["y"])))


@pytest.mark.parametrize("case", from_r("holm"))
def test_holm_equals_r(case):
    np.testing.assert_allclose(holm(numbers(case["p"])), numbers(case["p_holm"]))


p_values = hnp.arrays(float, st.integers(1, 8), elements=st.one_of(st.floats(0, 1), st.just(NAN)))


@settings(deadline=None)
@given(p_values, st.randoms(use_true_random=False))
def test_holm_properties(p, random):
    corrected = holm(p)
    made = ~np.isnan(p)
    np.testing.assert_array_equal(np.isnan(corrected), ~made)
    assert (corrected[made] >= p[made]).all() and (corrected[made] <= 1).all()
    order = np.argsort(p[made])
    assert (np.diff(corrected[made][order]) >= 0).all()
    np.testing.assert_array_equal(holm(p[made]) if made.any() else [], corrected[made])
    shuffled = random.sample(range(p.size), p.size)
    np.testing.assert_array_equal(holm(p[shuffled]), corrected[shuffled])
    if made.any():
        assert corrected[made].min() == pytest.approx(min(1.0, p[made].min() * made.sum()))


def test_holm_refuses():
    with pytest.raises(ValueError, match="p must lie between 0 and 1"):
        holm([0.5, 1.5])
    with pytest.raises(ValueError, match="p must not be empty"):
        holm([])


values = st.lists(st.integers(0, 9), min_size=1, max_size=12)


@settings(deadline=None)
@given(values, values)
def test_both_u_add_up_to_all_pairs(x, y):
    forth = compare_to_reference(x, {"y": y}).loc["y"]
    back = compare_to_reference(y, {"x": x}).loc["x"]
    assert forth["U"] + back["U"] == len(x) * len(y)
    assert forth["effect"] + back["effect"] == pytest.approx(1)
    assert forth["p"] == pytest.approx(back["p"])
    pairs = [np.sign(b - a) for a in x for b in y]
    assert forth["effect"] == pytest.approx(np.mean(pairs) / 2 + 0.5)


def test_four_comparisons_as_in_figure_3():
    rng = np.random.default_rng(0)
    reference = rng.normal(0.2, 0.02, 20)
    others = {
        "far": rng.normal(0.4, 0.02, 20),
        "same": reference.copy(),
        "better": rng.normal(0.1, 0.02, 20),
        "lost": np.full(20, NAN),
    }
    table = compare_to_reference(reference, others)
    assert list(table.index) == list(others)
    assert table.loc["far", "effect"] == 1 and table.loc["better", "effect"] == 0
    assert table.loc["same", "effect"] == 0.5
    assert table["star"].tolist() == [True, False, True, False]
    assert table["star"].dtype == bool
    strict = compare_to_reference(reference, others, alpha=table["p_holm"].min() / 2)
    assert not strict["star"].any()
    exact = compare_to_reference(reference, others, alpha=table["p_holm"].min())
    assert not exact["star"].any()  # significant is what lies below alpha
    # The comparison that could not be made is not in the family: three, not four.
    assert table.loc["far", "p_holm"] == pytest.approx(3 * table["p"].min())
    assert table.loc["lost", ["n", "nan"]].tolist() == [0, 20]
    assert table.loc["lost", ["U", "effect", "p", "p_holm"]].isna().all()
    one_sided = compare_to_reference(reference, others, alternative="greater")
    assert one_sided["star"].tolist() == [True, False, False, False]


def test_missing_is_not_never():
    missing = compare_to_reference(ALL_LATER, {"few": FEW_EARLY}).loc["few"]
    assert missing[["n_reference", "n", "nan_reference", "nan"]].tolist() == [7, 3, 0, 4]
    assert missing["effect"] == 0 and missing["star"]
    never = compare_to_reference(ALL_LATER, {"few": FEW_EARLY}, nan="never").loc["few"]
    assert never[["n_reference", "n", "nan_reference", "nan"]].tolist() == [7, 7, 0, 4]
    assert never["effect"] == pytest.approx(4 / 7) and not never["star"]
    nobody = compare_to_reference([NAN, NAN], {"x": [NAN, NAN]}, nan="never").loc["x"]
    assert (nobody["effect"], nobody["p"]) == (0.5, 1)


def test_a_reference_without_numbers_compares_with_nothing():
    table = compare_to_reference([NAN], {"x": [1.0], "y": [2.0]})
    assert table[["p", "p_holm", "U"]].isna().all(axis=None)
    assert not table["star"].any()
    assert table["nan_reference"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("reference", "others", "options", "error", "message"),
    [
        ([], {"x": [1.0]}, {}, ValueError, "reference must not be empty"),
        ([1.0], {"x": []}, {}, ValueError, r"others\['x'\] must not be empty"),
        ([1.0], {"x": [[1.0]]}, {}, ValueError, r"others\['x'\] must be one-dimensional"),
        ([1.0], {}, {}, ValueError, "others must hold at least one sample"),
        ([1.0], {"x": [1.0]}, {"alternative": "two.sided"}, ValueError, "alternative must be"),
        ([1.0], {"x": [1.0]}, {"nan": "raise"}, ValueError, "nan must be one of omit, never"),
        ([1.0], {"x": [1.0]}, {"alpha": 5}, ValueError, "alpha must lie strictly between"),
        ([True], {"x": [1.0]}, {}, TypeError, "reference must hold real numbers"),
    ],
)
def test_comparison_refuses(reference, others, options, error, message):
    with pytest.raises(error, match=message):
        compare_to_reference(reference, others, **options)


def test_a_difference_of_shares_is_written_in_points():
    estimate = Estimate(-0.041, -0.0625, math.inf, n=7, method="difference")
    assert f"{estimate:.1pt}" == "−4.1 points (−6.2 to ∞)"
    alone = Estimate(0.2, math.nan, math.nan, n=1, method="difference")
    assert f"{alone:.0pt}" == "20 points (no interval)"
    nothing = Estimate(math.nan, math.nan, math.nan, n=0, method="difference")
    assert f"{nothing:.1pt}" == "undefined"
