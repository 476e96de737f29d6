"""The speed benchmark: its ways on a tiny workload, its results file and report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from benchmarks import speed
from benchmarks.racers import training
from benchmarks.racers.answers import ANSWERS, random_mixtures, rows_of
from benchmarks.racers.measuring import cost_of
from benchmarks.racers.report import markdown
from benchmarks.racers.sections import SECTIONS, missing
from benchmarks.racers.tf_ways import FitMdn, Tfpl, plain_model
from benchmarks.racers.workloads import SIZES, TINY, WORKLOADS, Workload
from benchmarks.scoreboard.store import Key, Store

TFPL = training.TRAINING_WAYS["tfpl"]


def key(method: str, split: int, section: str = "epoch", subject: str = "small") -> Key:
    settings = {"cpu": "A", "cores": 2, "system": "S", "python": "3", "threads": 1}
    return Key(
        section, subject, "", method, split, json.dumps({**settings, "versions": {"n": "1"}})
    )


class TestWorkload:
    @pytest.mark.parametrize("workload", [*WORKLOADS.values(), *SIZES.values()])
    def test_rows_are_in_standard_units_and_the_seed_s(self, workload: Workload) -> None:
        x, y = workload.rows(0)
        assert x.shape == (workload.num_rows, workload.num_features)
        assert y.shape == (workload.num_rows, workload.event_size)
        assert np.abs(np.mean([x.mean(), y.mean()])) < 0.2
        assert 0.5 < x.std() < 1.5
        assert (x != workload.rows(1)[0]).any()

    def test_orders_hold_every_row_once_and_then_zeros(self) -> None:
        orders = TINY.orders(0, 3).reshape(3, -1)
        for order in orders:
            np.testing.assert_array_equal(np.sort(order[:50]), np.arange(50))
            assert not order[50:].any()
        assert (orders[0] != orders[1]).any()

    def test_start_is_the_same_function_in_the_order_of_tfp(self) -> None:
        workload = Workload("synthetic", 9, (4,), "tanh", 3, 9, 0, None, 1, 1, 1, 5, 2)
        (kernel, bias), (last, _) = workload.start(3)
        x, y = workload.rows(0)
        raw = np.tanh(x @ kernel + bias) @ last
        locations, scales = (raw[:, a : a + 6].reshape(-1, 3, 2) for a in (3, 9))
        tfd = tfp.distributions
        expected = tfd.MixtureSameFamily(
            tfd.Categorical(logits=raw[:, :3]),
            tfd.MultivariateNormalDiag(locations, tf.nn.softplus(scales)),
        ).log_prob(y)
        found = plain_model(workload, workload.start(3))(x).log_prob(y)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


class TestTraining:
    def test_ways_of_tensorflow_train_alike(self) -> None:
        # With one batch an epoch, no order of the rows tells them apart.
        workload = Workload("inverse_sinusoid", 40, (4,), "tanh", 2, 40, 0, None, 1, 1, 1)
        racers: list[training.Racer] = [
            Tfpl(workload, 0),
            Tfpl(workload, 0, at_once=True),
            FitMdn(workload, 0),
        ]
        before = [racer.held_out_loss() for racer in racers]
        for racer in racers:
            racer.fit(20)
        after = [racer.held_out_loss() for racer in racers]
        np.testing.assert_allclose(before, before[0], rtol=1e-5)
        np.testing.assert_allclose(after, after[0], rtol=1e-4)
        assert after[0] < before[0] - 0.01

    @pytest.mark.parametrize("name", ["tfpl", "fit_mdn-no-xla"])
    def test_measurements_have_their_figures(self, name: str) -> None:
        way = training.TRAINING_WAYS[name]
        figures = training.epoch(TINY, way, 0)
        assert set(figures) == {"cpu", "wall", "megabytes", "loss"}
        figures = training.whole_run(TINY, way, 0)
        assert figures["cpu"] > 0
        assert np.isfinite(figures["loss"])

    def test_time_to_target_ends_there(self) -> None:
        easy = Workload("inverse_sinusoid", 50, (4,), "tanh", 2, 16, 4, 100.0, 1, 1, 1)
        assert training.time_to_target(easy, TFPL, 0)["epochs"] == 1
        never = Workload("inverse_sinusoid", 50, (4,), "tanh", 2, 16, 1, -100.0, 1, 1, 1)
        with pytest.raises(RuntimeError, match="not at -100.0 nats after 3 epochs"):
            training.time_to_target(never, TFPL, 0)


class TestAnswers:
    @pytest.mark.parametrize(
        ("task", "way"),
        [
            (task, way)
            for task, ways in ANSWERS.items()
            for way in ways
            if not missing("answers", f"{task}, 1", way) and "keras" not in way
        ],
    )
    def test_ways_run_on_few_rows(self, task: str, way: str) -> None:
        work, factor = ANSWERS[task][way][2](20)
        work()
        assert factor == (1 / 20 if way in ("plain", "ours") and task == "parameters" else 1.0)

    def test_what_is_slow_gets_a_part_of_the_rows(self) -> None:
        assert ANSWERS["quantiles"]["scipy"][2](1000)[1] == 10.0

    def test_subject_names_task_and_rows(self) -> None:
        assert rows_of("90% regions, 1e5 rows") == ("90% regions", 100_000)
        assert random_mixtures(5).weights.shape == (5, 10)


def test_memory_counts_the_work_alone() -> None:
    np.ones(40_000_000)  # 320 MB that are gone again
    cost = cost_of(lambda: np.ones(10_000_000))
    assert 60 < cost.megabytes < 200
    assert cost.wall > 0


class TestReport:
    def test_ratios_are_paired_by_round(self) -> None:
        # The machine was ten times slower in the second round, in which PyTorch failed.
        results: dict[Key, dict[str, Any]] = {
            key("tfpl", 0): {"scores": {"cpu": 0.010, "wall": 0.02, "loss": 1.0}},
            key("fit_mdn", 0): {"scores": {"cpu": 0.001, "wall": 0.01, "loss": 1.5}},
            key("pytorch", 0): {"scores": {"cpu": 0.005, "wall": 0.01, "loss": 1.0}},
            key("tfpl", 1): {"scores": {"cpu": 0.100, "wall": 0.20, "loss": 1.0}},
            key("fit_mdn", 1): {"scores": {"cpu": 0.010, "wall": 0.10, "loss": 1.7}},
            key("pytorch", 1): {"error": "no memory"},
        }
        text = markdown(results)
        assert "| **`fit_mdn`** | 5.5 ms | 55 ms | 10× | 2× | 1.600 | 2 |" in text
        assert "| PyTorch loop, fused Adam | 5 ms | 10 ms | 2× | 2× | 1.000 | 1 |" in text
        assert "| epoch, small | 55 ms | 10× |  | 2× |  |" in text
        assert "Goal: 8 times as fast, 15 aimed at; 10 measured: reached." in text
        assert "- epoch, small, pytorch, round 1: no memory" in text
        assert "Measured on A, 2 cores, S, Python 3, each process on 1 thread(s); n 1." in text

    def test_memory_has_its_own_goal(self) -> None:
        ways = {"plain": (2.0, 100.0), "ours": (2.0, 20.0)}
        results = {
            key(way, 0, "answers", "parameters, 1e6 rows"): {
                "scores": {"cpu": cpu, "wall": cpu, "megabytes": megabytes}
            }
            for way, (cpu, megabytes) in ways.items()
        }
        said = "1.5 times as fast; 1 measured: missed. In 1/10 of the memory; 1/5 measured: missed."
        assert said in markdown(results)
        row = "| parameters, 1e6 rows | plain `model(x)`, then NumPy | 2 s | 2 s | 1× | 100 | 20 |"
        assert row in markdown(results)

    def test_every_section_has_a_table(self) -> None:
        figures = {
            "xla": ("compiling", "step", "step_xla", "saved", "units", "even", "auto"),
            "parts": ("loop", "gathering", "products", "density", "backward", "adam", "whole"),
        }
        results = {
            key(next(iter(ways)), 0, name, subject): {
                "scores": dict.fromkeys(figures.get(name, ("cpu", "wall", "megabytes")), 1.0)
            }
            for name, section in SECTIONS.items()
            for subject, ways in section.subjects.items()
        }
        text = markdown(results)
        for section in SECTIONS.values():
            assert f"## {section.title}\n\n{section.text}\n\n" in text


class TestCommand:
    def test_measures_in_a_process_and_goes_on_where_it_was(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        output, report = tmp_path / "speed.jsonl", tmp_path / "speed.md"
        files = ["--output", str(output), "--markdown", str(report)]
        command = ["--sections", "startup", "--ways", "python,import,help", "--rounds", "1", *files]
        assert speed.main(command) == 0
        assert "[3/3] round 0, startup, start, help: cpu" in capsys.readouterr().out
        scores = {k.method: r["scores"] for k, r in Store(output).results.items()}
        assert scores["import"]["wall"] < 1.0
        assert str(tmp_path) not in output.read_text()
        assert "`tfp-mdn --help`" in report.read_text()
        assert speed.main(command) == 0
        said = capsys.readouterr().out
        assert f"3 measurements are stored in {output}" in said
        assert "[1/" not in said

    def test_says_what_failed(self, tmp_path: Path) -> None:
        result = speed._measured(key("none", 0, "startup", "start"), 1)
        assert result == {"error": "status 1: KeyError: 'none'"}

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--report"], "no results"),
            (["--report", "--markdown", "nowhere/speed.md"], "no folder nowhere"),
            (["--sections", "xla", "--subjects", "small"], "nothing is left to measure"),
        ],
    )
    def test_errors_are_one_line(
        self,
        arguments: list[str],
        message: str,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        files = ["--output", str(tmp_path / "no.jsonl"), "--markdown", str(tmp_path / "no.md")]
        assert speed.main([*files, *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1

    @pytest.mark.parametrize(
        "arguments", [["--sections", "speed"], ["--rounds", "0"], ["--ways", "fit"]]
    )
    def test_unknown_names_are_refused(self, arguments: list[str]) -> None:
        with pytest.raises(SystemExit):
            speed.main(arguments)
