"""What a capture costs is chosen, and said: which steps, which modules, how many bytes."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from engine import measure
from engine.inspect.diagnose import diagnose
from engine.recording.schedule import (
    allot,
    capture_schedule,
    count_captures,
    count_steps,
    evaluation_schedule,
    parse_bytes,
    readable,
)
from engine.run.delta import Factors
from engine.run.sketch import LEVELS, Level, block_means, sketch, sketch_factors
from glasstune import InputError, Run, capture
from visualize import plots

RANDOM = np.random.default_rng(0)


def captured(every, total=40, bytes_each=1000) -> list[int]:
    at = capture_schedule(every, bytes_each, total)
    return [step for step in range(total + 1) if at(step)]


def test_schedules():
    assert captured(10) == [0, 10, 20, 30, 40]
    assert captured({0: 1, 4: 10}) == [0, 1, 2, 3, 4, 14, 24, 34]
    assert captured([3, 5, 8]) == [3, 5, 8]
    assert captured(lambda step: step % 20 == 7) == [7, 27]
    assert captured("auto", 40) == list(range(41))  # it fits
    long = captured("auto", 10_000, 10_000_000)
    assert long[:4] == [0, 1, 2, 3] and len(long) <= 16 and long[-1] == 10_000  # dense at first, sparse later


def test_evaluations_come_closer_together_at_first():
    at = evaluation_schedule(5, 100)
    steps = [step for step in range(101) if at(step)]
    assert steps[0] == 0 and steps[-1] == 100 and len(steps) == 6
    assert all(one <= other for one, other in itertools.pairwise(np.diff(steps)))
    assert evaluation_schedule(lambda step: step == 7, 100)(7)
    assert [step for step in range(100) if evaluation_schedule(5, None)(step)] == [0]
    with pytest.raises(InputError, match="evaluate_at is 0"):
        evaluation_schedule(0, 100)


@pytest.mark.timeout(20)
def test_a_schedule_is_counted_without_going_through_its_steps():
    schedules = [capture_schedule(every, size, total) for every in (1, 7, {2: 3, 10: 1, 30: 5}, [0, 4, 4, 99], "auto")
                 for size in (1000, 10_000_000) for total in (0, 1, 50, 401)]  # fmt: skip
    schedules += [evaluation_schedule(at, total) for at in (1, 5, 300) for total in (None, 0, 1, 50)]
    for at in schedules:
        for first, last in ((0, 0), (0, 60), (3, 41), (5, 1), (399, 500)):
            assert count_steps(at, first, last) == sum(map(at, range(first, last + 1)))
    assert count_captures(capture_schedule(1000, 8, 10**9), 10**9) == 10**6 + 1
    assert count_captures(capture_schedule("auto", 10**9, 10**9), 10**9) <= 13
    assert count_steps(evaluation_schedule(10**9, 10**9), 1, 10**9 - 1) <= 10**6
    assert count_steps(lambda step: step % 10 == 0, 0, 10**9 - 1) == 10**8, "what goes on like its beginning"


@pytest.mark.parametrize("every", [0, -1, "often", 2.5, {}, {0: 0}, {-1: 1}, [1, -2], [1.5]])
def test_a_schedule_that_is_none_says_what_is(every):
    with pytest.raises(InputError, match="every is"):
        capture_schedule(every, 1000, 10)


def test_sizes():
    assert parse_bytes("200MB") == 200_000_000 and parse_bytes("1.5 gb") == 1_500_000_000 and parse_bytes(70) == 70
    assert readable(200_000_000) == "200 MB" and readable(1500) == "1.5 kB"
    for wrong in ("much", "-3MB", "0", "3XB"):
        with pytest.raises(InputError, match="budget is"):
            parse_bytes(wrong)


@pytest.mark.parametrize("shape", [(40, 30), (300, 20), (7, 300), (1, 5)])
def test_a_sketch_is_true_to_its_matrix(shape):
    matrix = RANDOM.standard_normal(shape).astype(np.float32)
    for level in LEVELS:
        found = sketch(matrix, level)
        assert found.norm == pytest.approx(np.linalg.norm(matrix), rel=1e-6)
        missed = np.linalg.norm(matrix - found.approximation()) / found.norm
        assert found.missed == pytest.approx(missed, abs=2e-3)
        best = np.linalg.svd(matrix, compute_uv=False)[: len(found.S)]
        assert np.all(best * 1.001 >= found.S) and np.all(0.8 * best <= found.S)
        assert {f: np.shape(v) for f, v in found._asdict().items()} == level.shapes(shape)
        if level.side:
            assert found.picture.mean() == pytest.approx(matrix.mean(), abs=0.2)


def test_what_has_not_moved_has_a_sketch_of_zeros():
    found = sketch(np.zeros((9, 7), np.float32), LEVELS[0])
    assert {f: np.shape(v) for f, v in found._asdict().items()} == LEVELS[0].shapes((9, 7))
    assert all(np.all(value == 0) for value in found)


@pytest.mark.parametrize("rank", [1, 3, 20])
def test_a_sketch_of_factors_is_the_sketch_of_their_product(rank):
    of = Factors(*(RANDOM.standard_normal(s).astype(np.float32) for s in ((50, rank), (rank, 30))), 0.5)
    level = Level(8, 16)
    exact, found = sketch(of.product(), level), sketch_factors(of, level)
    assert found.norm == pytest.approx(exact.norm, rel=1e-5)
    np.testing.assert_allclose(found.S[:rank], np.linalg.svd(of.product(), compute_uv=False)[: min(rank, 8)], rtol=1e-4)
    np.testing.assert_allclose(found.picture, exact.picture, atol=1e-5)
    assert found.missed == pytest.approx(np.linalg.norm(of.product() - found.approximation()) / found.norm, abs=1e-3)


def test_a_picture_has_the_means_of_equal_blocks():
    matrix = RANDOM.standard_normal((8, 12)).astype(np.float32)
    np.testing.assert_allclose(block_means(matrix, 4), matrix.reshape(4, 2, 4, 3).mean((1, 3)), atol=1e-6)
    uneven = RANDOM.standard_normal((11, 5)).astype(np.float32)
    edges = [0, 2, 5, 8, 11]  # 11 rows in 4 blocks
    rows = [uneven[a:b].mean(0) for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(block_means(uneven, 4), [[r[0], r[1], r[2], r[3:].mean()] for r in rows], atol=1e-6)
    assert block_means(matrix, 99) is not None and np.array_equal(block_means(matrix, 99), matrix)


def big(*widths: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(a, b) for a, b in itertools.pairwise(widths)))


def nudge(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            shape = parameter.shape
            parameter += torch.randn(shape) if len(shape) == 1 else torch.randn(shape[0], 1) @ torch.randn(1, shape[1])


def size_of(run: Run) -> int:
    return sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file())


def nudged(model, out, steps=4, **options) -> tuple[Run, list[dict[str, np.ndarray]]]:
    before = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
    deltas = [{name: 0 * value for name, value in before.items()}]
    with capture(model, out, every=1, total=steps, **options) as recorder:
        for _ in range(steps):
            nudge(model)
            deltas.append({name: p.detach().numpy() - before[name] for name, p in model.named_parameters()})
            recorder.step()
    assert recorder.run is not None
    return recorder.run, deltas


def test_within_the_budget_the_small_stay_exact_and_the_large_are_summarised(tmp_path, capsys):
    model = big(500, 400, 20, 10)
    run, deltas = nudged(model, tmp_path / "run", budget="1.5MB")
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "2 matrices and 3 vectors exactly and 1 matrices too large" in said
    assert size_of(run) < 1_500_000 + 40_000  # its lines of JSON come on top
    assert run.is_sketched("0") and not run.is_sketched("1")
    for step in run.steps:
        np.testing.assert_allclose(run.delta("1", step), deltas[step]["1.weight"], atol=1e-6)
        found, true = run.sketch("0", step), deltas[step]["0.weight"]
        assert found.norm == pytest.approx(np.linalg.norm(true), rel=1e-5) == run.norms.loc[step, "0"]
        if step:  # one direction came a step, so as many triplets miss nothing
            assert found.missed < 0.01 or len(found.S) < step
            np.testing.assert_allclose(found.picture, block_means(true, max(found.picture.shape)), atol=1e-4)
    assert not (run.path / "start-scratch.safetensors").exists()
    for asked, says in (
        (lambda: run.delta("0"), "kept only a sketch of 0"),
        (lambda: run.factors("0"), "kept only a sketch of 0"),
        (lambda: run.sketch("1"), "kept 1 exactly"),
        (lambda: run.sketch("9"), "no module '9'"),
        (lambda: run.sketch("0", 77), "captured no step 77; the nearest is 4"),
    ):
        with pytest.raises(InputError, match=says):
            asked()


def test_what_a_sketch_does_not_know_is_not_measured(tmp_path):
    run, deltas = nudged(big(500, 400, 20, 10), tmp_path / "run", budget="1.5MB")
    true = deltas[-1]["0.weight"]
    values = np.linalg.svd(true, compute_uv=False)
    assert measure.norm(run, "0") == pytest.approx(np.linalg.norm(true), rel=1e-5)
    found = measure.singular_values(run, "0")
    assert len(found) < len(values)
    np.testing.assert_allclose(found, values[: len(found)], rtol=1e-2, atol=1e-4)
    table = measure.spectrum_table(run)
    assert np.isnan(table.loc["0", "effective_rank"]) and table.loc["1", "effective_rank"] > 0
    assert table.loc["0", "stable_rank"] == pytest.approx(measure.stable_rank(values), rel=1e-3)
    reached = np.linalg.norm(found) ** 2 >= 0.9 * np.linalg.norm(true) ** 2
    rank = table.loc["0", "rank_90"]
    assert rank == measure.energy_rank(values) if reached else np.isnan(rank)
    assert measure.spectrum_table(run, 0).loc["0", ["stable_rank", "rank_90"]].tolist() == [0, 0]
    delta, spectrum = plots.plot_delta(run, module="0"), plots.plot_spectrum(run, module="0")
    np.testing.assert_array_equal(delta.images[0].get_array(), run.sketch("0").picture)
    assert "means of blocks" in delta.get_title("left") and f"the {len(found)} largest were kept" in spectrum.get_title(
        "left"
    )
    assert not any(finding.level == "fault" for finding in diagnose(run))


def test_enough_budget_keeps_all_exactly_and_none_is_no_limit(tmp_path):
    for budget in ("50MB", None):
        run, deltas = nudged(big(30, 20, 10), tmp_path / str(budget), budget=budget, say=False)
        assert not any(run.is_sketched(module) for module in run.modules)
        np.testing.assert_allclose(run.delta("0"), deltas[-1]["0.weight"], atol=1e-6)


def test_a_budget_for_nothing_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="has no room for 5 captures"):
        nudged(big(30, 20), tmp_path / "run", budget=200)
    assert not (tmp_path / "run").exists()


def test_a_loop_of_unknown_length_thins_its_captures_to_stay_within_the_budget(tmp_path):
    model = big(40, 40)
    each = 4 * 41 * 40
    with capture(model, tmp_path / "run", every=1, budget=1003 * (each + 500), total=None, say=False) as recorder:
        recorder._recorder.writer.budget = 12 * each  # as if the thousand steps that were planned for had gone by
        for _ in range(100):
            recorder.step()
    run = recorder.run
    assert run is not None and run.steps[0] == 0 and run.steps[-1] == 100 and 5 < len(run.steps) <= 12
    assert size_of(run) < 14 * each + 200_000 and np.diff(run.steps[:-1]).max() <= 40


def test_allotting_keeps_within_the_budget_and_is_never_better_with_less():
    from engine.recording.schedule import Size

    sizes = {str(n): Size(4 * n * n, 4 * n * n, (n, n)) for n in (4, 16, 64, 300, 900)} | {"v": Size(400, 400, None)}
    exact = []
    for budget in (10_000_000, 2_000_000, 500_000, 100_000, 25_000):
        chosen = allot(sizes, 5, budget)
        cost = sum(
            sizes[name].once + 5 * sizes[name].exact if level is None else 5 * sizes[name].sketch(level)
            for name, level in chosen.items()
        )
        assert cost <= budget and chosen["v"] is None
        exact.append(sum(level is None for level in chosen.values()))
    assert exact == sorted(exact, reverse=True)
    assert count_captures(lambda step: step % 10 == 0, 45) == 6


def test_modules_are_chosen_by_patterns(tmp_path, capsys):
    with capture(big(8, 7, 6, 5), tmp_path / "run", modules=["0", "2*"]) as recorder:
        recorder.step()
    assert recorder.run is not None and list(recorder.run.info.modules) == ["0", "2", "2.bias"]
    assert "leaves out 3 others by modules=" in capsys.readouterr().err
    with (
        pytest.raises(InputError, match=r"modules='\*.q_proj' matches nothing that is trained; there are, for example"),
        capture(big(8, 7), tmp_path / "none", modules="*.q_proj"),
    ):
        pass
    assert not (tmp_path / "none").exists()


def test_a_summarised_run_that_was_stopped_goes_on(tmp_path):
    model = big(500, 400, 20)
    with (
        pytest.raises(ZeroDivisionError),
        capture(model, tmp_path / "run", every=1, total=4, budget="1.5MB", say=False) as recorder,
    ):
        nudge(model)
        recorder.step()
        _ = 1 / 0
    before = Run.load(tmp_path / "run")
    start = model[0].weight.detach().numpy() - 0
    with capture(model, tmp_path / "run", every=1, total=4, resumed=1, say=False) as recorder:
        nudge(model)
        recorder.step()
    run = recorder.run
    assert run is not None and run.steps == [0, 1, 2] and before.is_sketched("0") and run.is_sketched("0")
    assert run.sketch("0").norm > 0 and np.shape(start) == run.shape("0")
    with (
        pytest.raises(InputError, match=r"start-scratch.safetensors is gone, and its run was finished"),
        capture(model, tmp_path / "run", resumed=2, say=False),
    ):
        pass


def test_what_is_absent_is_named(tmp_path):
    with capture(big(8, 7), tmp_path / "run", say=False) as recorder:
        recorder.step()
    run = recorder.run
    assert run is not None
    (run.path / "norms.jsonl").unlink()
    (run.path / "start.safetensors").unlink()
    with pytest.raises(InputError, match=r"holds no norms \(no norms.jsonl\)"):
        _ = Run.load(run.path).norms
    with pytest.raises(InputError, match="base model"):
        run.weight("0")


def test_a_training_that_diverges_is_captured_as_it_is(tmp_path):
    model = big(500, 400, 20)
    with capture(model, tmp_path / "run", every=1, total=4, budget="1.5MB", say=False) as recorder, torch.no_grad():
        for _ in range(2):
            model[0].weight += float("nan")
            model[1].weight += float("inf")
            recorder.step(loss=float("nan"))
    run = recorder.run
    assert run is not None and run.steps == [0, 1, 2] and np.isnan(run.metrics.loss).all()
    assert run.is_sketched("0") and np.isnan(run.sketch("0").norm) and np.isnan(run.norms.loc[2, "0"])
    assert np.isinf(run.delta("1", 1)).all() and not run.delta("1.bias").any()
