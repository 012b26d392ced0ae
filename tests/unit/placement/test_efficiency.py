"""Efficiencies: priors, which one counts for a model, and fitting to measured runs."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from speed_cases import PERFECT, dense, gpu, layer, machine, mixture, model

from hostler.models.shape import ModelShape
from hostler.placement.efficiency import PRIORS, Efficiencies, Fitted, key_of
from hostler.placement.fitting import LEAST_ERROR, Point, Request, Sample, fit, observe
from hostler.placement.layout import HOST, Layout, Run, whole
from hostler.placement.speed import costs, speed_of

RUN = Run(context=16384, threads=8, ubatch=256)
SITE = machine(gpu())
DEPTHS = (0, 2048, 6144)


def true(device: str, weights: float, cache: float) -> Efficiencies:
    """A device whose terms take so many times as long as its prior says."""
    kind = "host" if device == HOST else "nvidia"
    prior = PRIORS.priors[kind]
    real = replace(
        prior, decode=prior.decode / weights, vector=prior.vector / weights, prefill=prior.prefill / weights,
        cache=prior.cache / cache, attend=prior.attend / cache, attention=prior.attention / cache,
    )  # fmt: skip
    return Efficiencies(priors=PRIORS.priors, fitted={device: Fitted(whole=real)})


def measured(shape: ModelShape, layout: Layout, real: Efficiencies, depths: tuple[int, ...] = DEPTHS) -> Sample:
    speeds = [speed_of(costs(shape, RUN, SITE, real, depth), layout) for depth in depths]
    return Sample(
        shape=shape,
        run=RUN,
        layout=layout,
        decode=tuple(Point(each.depth, each.decode.value) for each in speeds),
        prefill=tuple(Point(each.depth, each.prefill.value) for each in speeds),
    )


@pytest.mark.parametrize("kind", ["nvidia", "amd", "apple", "host"])
def test_every_kind_of_device_has_a_documented_prior_with_a_wide_interval(kind: str) -> None:
    prior = PRIORS.priors[kind]  # type: ignore[index]
    assert prior.source.startswith("prior: ")
    assert prior.error >= 0.25
    assert prior.prefill_error >= 0.35
    assert 0 < prior.decode <= 1


def test_the_nearest_efficiency_counts() -> None:
    shape = dense()
    own, alike, any_ = (replace(PERFECT, source=name) for name in ("own", "alike", "any"))
    known = Efficiencies(
        priors=PRIORS.priors, fitted={HOST: Fitted(whole=any_, of={"llama Q8_0": own, "gemma3 Q8_0": alike})}
    )
    assert known.of(HOST, "host", shape).source == "own"
    assert known.of(HOST, "host", replace(shape, architecture="qwen3")).source == "alike"
    assert known.of(HOST, "host", replace(shape, quantisation="Q4_K_M")).source == "any"
    assert known.of("gpu0", "nvidia", shape).source.startswith("prior")


@given(weights=st.floats(0.3, 4.0), cache=st.floats(0.3, 4.0), on_host=st.booleans())
def test_a_fit_finds_what_made_the_times(weights: float, cache: float, on_host: bool) -> None:
    shape, device = dense(), HOST if on_host else "gpu0"
    layout = whole(shape, device)
    real = true(device, weights, cache)
    fitted = fit([measured(shape, layout, real)], SITE)
    for depth in (0, 1000, 4000, 10_000):
        predicted, actual = (speed_of(costs(shape, RUN, SITE, each, depth), layout) for each in (fitted, real))
        assert predicted.decode.value == pytest.approx(actual.decode.value, rel=0.03)
        assert predicted.prefill.value == pytest.approx(actual.prefill.value, rel=0.03)


def test_a_fit_narrows_the_interval_but_never_below_five_percent() -> None:
    shape = dense()
    layout = whole(shape, HOST)
    fitted = fit([measured(shape, layout, true(HOST, 2.0, 1.5))], SITE)
    predicted = speed_of(costs(shape, RUN, SITE, fitted, 2048), layout).decode
    assert predicted.high / predicted.value == pytest.approx(1 + LEAST_ERROR)
    assert fitted.fitted[HOST].of[key_of(shape)].source.startswith("fitted: 3 answers, 3 prompts of llama Q8_0")


def test_a_fit_that_does_not_agree_with_its_measurements_is_uncertain() -> None:
    shape = dense()
    sample = measured(shape, whole(shape, HOST), true(HOST, 1.0, 1.0))
    bent = tuple(Point(each.depth, each.rate * (0.7 if each.depth == 2048 else 1.0)) for each in sample.decode)
    fitted = fit([replace(sample, decode=bent)], SITE)
    assert fitted.fitted[HOST].of[key_of(shape)].error > 0.1


def test_one_depth_alone_stretches_everything_alike() -> None:
    shape = dense()
    layout, real = whole(shape, HOST), true(HOST, 2.0, 2.0)
    fitted = fit([measured(shape, layout, real, (1000,))], SITE)
    predicted, actual = (speed_of(costs(shape, RUN, SITE, each, 1000), layout) for each in (fitted, real))
    assert predicted.decode.value == pytest.approx(actual.decode.value)
    assert predicted.decode.high / predicted.decode.value == pytest.approx(1 + 2 * LEAST_ERROR)


def test_a_disturbed_round_does_not_count_among_others_of_its_depth() -> None:
    shape = dense()
    layout, real = whole(shape, HOST), true(HOST, 1.5, 1.5)
    sample = measured(shape, layout, real)
    rounds = [(each, shift) for each in sample.decode for shift in range(5)]
    points = tuple(Point(each.depth + shift, each.rate * (0.2 if shift == 2 else 1.0)) for each, shift in rounds)
    disturbed = replace(sample, decode=points)
    fitted = fit([disturbed], SITE)
    predicted, actual = (speed_of(costs(shape, RUN, SITE, each, 2048), layout) for each in (fitted, real))
    assert predicted.decode.value == pytest.approx(actual.decode.value, rel=0.02)


def test_what_is_learnt_of_one_model_serves_others_with_less_certainty() -> None:
    shape = dense()
    fitted = fit([measured(shape, whole(shape, HOST), true(HOST, 2.0, 1.0))], SITE)
    other = replace(shape, architecture="gemma3", quantisation="Q4_K_M")
    found = fitted.of(HOST, "host", other)
    assert found.vector == pytest.approx(PRIORS.priors["host"].vector / 2, rel=0.05)
    assert found.error == PRIORS.priors["host"].error / 2
    assert fitted.of("gpu0", "nvidia", shape) == PRIORS.priors["nvidia"]


def test_a_second_fit_keeps_the_first() -> None:
    one, two = dense(), replace(dense(), quantisation="Q4_K_M")
    known = fit([measured(one, whole(one, HOST), true(HOST, 2.0, 1.0))], SITE)
    known = fit([measured(two, whole(two, HOST), true(HOST, 3.0, 1.0))], SITE, known)
    assert set(known.fitted[HOST].of) == {"llama Q8_0", "llama Q4_K_M"}


def test_a_run_over_several_devices_teaches_about_the_one_that_bounds_it() -> None:
    shape = mixture()
    layout = Layout(gpus=("gpu0",), layers=("gpu0",) * 10, experts=(HOST,) * 10, output="gpu0")
    real = true(HOST, 2.0, 1.0)
    fitted = fit([measured(shape, layout, real)], SITE)
    assert set(fitted.fitted) == {HOST}
    predicted, actual = (speed_of(costs(shape, RUN, SITE, each, 1000), layout) for each in (fitted, real))
    assert predicted.decode.value == pytest.approx(actual.decode.value, rel=0.03)


def test_a_run_that_no_device_bounds_teaches_nothing() -> None:
    shape = dense()
    site = machine(gpu(0), gpu(1))
    layout = Layout(gpus=("gpu0", "gpu1"), layers=("gpu0",) * 5 + ("gpu1",) * 5, experts=("gpu0",) * 5 + ("gpu1",) * 5,
                    output="gpu1")  # fmt: skip
    speed = speed_of(costs(shape, RUN, site, PRIORS), layout)
    sample = Sample(shape=shape, run=RUN, layout=layout, decode=(Point(0, speed.decode.value / 2),))
    assert fit([sample], site) == PRIORS


def test_ordinary_requests_teach_what_they_tell() -> None:
    shape = dense()
    sample = observe(
        shape, RUN, whole(shape, HOST),
        [
            Request(cache_n=0, prompt_n=1000, prompt_ms=2000, predicted_n=101, predicted_ms=5000),
            Request(cache_n=4000, prompt_n=5, prompt_ms=100, predicted_n=3, predicted_ms=100),
            Request(cache_n=4000, prompt_n=100, prompt_ms=0, predicted_n=100, predicted_ms=0),
        ],
    )  # fmt: skip
    assert sample.prefill == (Point(500, 500.0),)
    assert sample.decode == (Point(1050, 20.0),)


def test_nothing_measured_changes_nothing() -> None:
    shape = dense()
    assert fit([], SITE) == PRIORS
    assert fit([observe(shape, RUN, whole(shape, HOST), [])], SITE) == PRIORS


@given(
    rates=st.lists(st.tuples(st.integers(0, 100_000), st.floats(1e-3, 1e6)), min_size=1, max_size=12),
    windowed=st.booleans(),
)
def test_whatever_was_measured_a_fit_predicts_something(rates: list[tuple[int, float]], windowed: bool) -> None:
    shape = model(tuple(layer(index, memory="window" if windowed else "full") for index in range(4)))
    points = tuple(Point(*each) for each in rates)
    layout = whole(shape, HOST)
    fitted = fit([Sample(shape=shape, run=RUN, layout=layout, decode=points, prefill=points)], SITE)
    speed = speed_of(costs(shape, RUN, SITE, fitted, 1000), layout)
    assert 0 < speed.decode.value < float("inf")
    assert 0 < speed.prefill.value < float("inf")
    assert msgspec.json.decode(msgspec.json.encode(fitted), type=Efficiencies) == fitted
