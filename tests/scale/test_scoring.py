"""Scoring of Parquet files: answers, restarts, and what is refused."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow_probability as tfp
import tf_keras

import tfp_mdn
from tfp_mdn import MDNRegressor, build_mdn, scale
from tfp_mdn.calibration import pit_values
from tfp_mdn.scale import _scoring_files
from tfp_mdn.scale._scoring_place import MANIFEST, locked

NAMES = ["x", "z"]


def rows(size: int, seed: int = 0, start: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, size))
    return pd.DataFrame(
        {
            "id": np.arange(start, start + size),
            "x": x,
            "z": z.astype(np.float32),
            "y": x + z * rng.normal(size=size),
            "key": [f"k{i}" for i in range(start, start + size)],
        }
    )


@pytest.fixture(scope="module")
def model() -> MDNRegressor:
    table = rows(80)
    settings: dict[str, Any] = {"num_components": 3, "ensemble_size": 2, "hidden_units": (8,)}
    return MDNRegressor(**settings, num_steps=40, random_state=0).fit(table[NAMES], table[["y"]])


@pytest.fixture(scope="module")
def saved(model: MDNRegressor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "model"
    model.save(path)
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Write a folder of three files, one of them empty and two in folders."""
    folder = tmp_path / "in"
    (folder / "year=1").mkdir(parents=True)
    rows(700).to_parquet(folder / "a.parquet", row_group_size=200)
    rows(50, 1, 700).to_parquet(folder / "year=1" / "b.pq")
    # pandas 2 would write strings of no rows as nulls.
    schema = pq.read_schema(folder / "a.parquet")
    rows(1).iloc[:0].to_parquet(folder / "year=1" / "c.parquet", schema=schema)
    (folder / "_SUCCESS").touch()
    (folder / "notes.txt").write_text("no table")
    return folder


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_scoring_files, "_PART_ROWS", 300)


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


def table_of(folder: Path) -> pd.DataFrame:
    parts = [pq.ParquetFile(folder / name).read() for name in files_of(folder)]
    return pa.concat_tables(parts).to_pandas()


def test_answers_are_those_of_the_model_in_the_order_of_the_rows(
    model: MDNRegressor, source: Path, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    done = scale.score_parquet(
        model,
        source,
        tmp_path / "out",
        quantiles=[0.1, 0.5],
        columns_kept=["id", "key"],
        target="y",
        batch_rows=128,
        progress=lambda *numbers: seen.append(numbers),
    )
    assert (done.rows, done.files, done.files_before) == (750, 3, 0)
    assert done.seconds > 0.0
    assert list(files_of(tmp_path / "out")) == ["a.parquet", "year=1/b.pq", "year=1/c.parquet"]
    assert [number for number, _ in seen] == sorted(number for number, _ in seen)
    assert seen[0] == (128, 750)
    assert seen[-1] == (750, 750)
    found, given = table_of(tmp_path / "out"), pd.concat([rows(700), rows(50, 1, 700)])
    parameters = model.predict_parameters(given[NAMES])
    assert list(found) == [
        *("id", "key", "weight", "mean_0", "variance_0"),
        *("y_mean", "y_stddev", "y_q0.1", "y_q0.5", "log_prob", "y_pit"),
    ]
    np.testing.assert_array_equal(found["id"], np.arange(750))
    np.testing.assert_array_equal(found["key"], given["key"])
    # The network computes in float32, whose rounding depends on the rows of a call.
    exact: dict[str, Any] = {"rtol": 2e-5, "atol": 2e-6}
    np.testing.assert_allclose(np.vstack(found["weight"].tolist()), parameters.weights, **exact)
    np.testing.assert_allclose(
        np.vstack(found["mean_0"].tolist()), parameters.means[..., 0], **exact
    )
    np.testing.assert_allclose(
        np.vstack(found["variance_0"].tolist()), parameters.variances[..., 0], **exact
    )
    y = given["y"].to_numpy()
    for name, expected in {
        "y_mean": parameters.mean()[:, 0],
        "y_stddev": parameters.stddev()[:, 0],
        "y_q0.1": parameters.quantile(0.1),
        "y_q0.5": parameters.median(),
        "log_prob": parameters.log_prob(y),
        "y_pit": pit_values(parameters, y)[:, 0],
    }.items():
        np.testing.assert_allclose(found[name], expected, **exact, err_msg=name)


def test_exploded_lists_are_the_table_of_params(
    model: MDNRegressor, source: Path, tmp_path: Path
) -> None:
    scale.score_parquet(model, source / "a.parquet", tmp_path / "out", mean=False, quantiles=[])
    found = table_of(tmp_path / "out")
    tidy = model.predict_parameters(rows(700)[NAMES]).to_dataframe()
    exploded = found.explode(list(found)).reset_index(drop=True).astype(float)
    pd.testing.assert_frame_equal(exploded, tidy.drop(columns=["row", "component"]), rtol=2e-5)


def test_folder_is_one_data_set_for_other_readers(
    model: MDNRegressor, source: Path, tmp_path: Path
) -> None:
    scale.score_parquet(model, source, tmp_path / "out", columns_kept=["id"])
    table = pq.read_table(tmp_path / "out", columns=["id", "weight"])
    assert table["id"].to_pylist() == list(range(750))
    assert table.schema.field("weight").type == pa.list_(pa.field("element", pa.float64()), 6)


def test_path_model_and_network_are_one_model(
    model: MDNRegressor, saved: Path, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    scale.score_parquet(saved, source, out, quantiles=())
    before = files_of(out)
    for same in (model, str(saved), tfp_mdn.load(saved)):
        assert scale.score_parquet(same, source, out, quantiles=()).files_before == 3
    assert files_of(out) == before


def test_workers_give_the_same_files(model: MDNRegressor, source: Path, tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("four", 4)):
        scale.score_parquet(model, source, tmp_path / name, workers=workers, batch_rows=64)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "four")


@pytest.mark.usefixtures("small_parts")
def test_large_files_become_folders(model: MDNRegressor, source: Path, tmp_path: Path) -> None:
    done = scale.score_parquet(model, source, tmp_path / "out", columns_kept=["id"])
    assert list(files_of(tmp_path / "out")) == [
        *(f"a.parquet/{place:05d}.parquet" for place in range(3)),
        *("year=1/b.pq", "year=1/c.parquet"),
    ]
    assert (done.rows, done.files) == (750, 5)
    assert table_of(tmp_path / "out")["id"].tolist() == list(range(750))
    # Row groups of a part are its own: the third begins at row 400.
    part = pq.read_table(tmp_path / "out" / "a.parquet" / "00002.parquet")
    assert part["id"][0].as_py() == 400


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("rows_until_then", [0, 64, 400, 699, 740])
def test_interrupted_run_goes_on(
    model: MDNRegressor, source: Path, tmp_path: Path, rows_until_then: int
) -> None:
    options: dict[str, Any] = {"columns_kept": ["id"], "batch_rows": 64}
    scale.score_parquet(model, source, tmp_path / "whole", **options)

    def interrupt(done: int, _: int) -> None:
        if done > rows_until_then:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        scale.score_parquet(model, source, out, **options, progress=interrupt)
    left = files_of(out)
    assert len(left) == {0: 0, 64: 0, 400: 2, 699: 2, 740: 3}[rows_until_then]
    # What a killed process leaves behind goes.
    remains = out / "a.parquet" / ".00002.parquet-dead"
    remains.mkdir(parents=True)
    (remains / "new").write_bytes(b"PAR1 half a file")
    done = scale.score_parquet(model, source, out, **options)
    assert (done.rows, done.files, done.files_before) == (750, 5, len(left))
    assert files_of(out) == files_of(tmp_path / "whole")
    assert not list(out.rglob(".*"))


def test_damaged_output_is_written_again(model: MDNRegressor, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scale.score_parquet(model, source, out)
    whole = files_of(out)
    (out / "a.parquet").write_bytes(whole["a.parquet"][:1000])
    assert scale.score_parquet(model, source, out).files_before == 2
    assert files_of(out) == whole


def test_added_files_are_scored_later(model: MDNRegressor, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scale.score_parquet(model, source, out)
    rows(20).to_parquet(source / "new.parquet")
    done = scale.score_parquet(model, source, out)
    assert (done.rows, done.files, done.files_before) == (770, 4, 3)


def test_changed_and_missing_inputs_are_noticed(
    model: MDNRegressor, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    scale.score_parquet(model, source, out)
    whole, file = files_of(out), source / "a.parquet"
    content, when = file.read_bytes(), file.stat()
    rows(700, 5).to_parquet(file)
    with pytest.raises(ValueError, match=r"input a.parquet has changed since it was scored"):
        scale.score_parquet(model, source, out)
    file.unlink()
    with pytest.raises(ValueError, match=r"input a.parquet is gone .*, delete .*/out/a.parquet"):
        scale.score_parquet(model, source, out)
    assert files_of(out) == whole
    file.write_bytes(content)
    os.utime(file, ns=(when.st_atime_ns, when.st_mtime_ns))
    assert scale.score_parquet(model, source, out).files_before == 3
    # The advice of the message helps.
    rows(700, 5).to_parquet(file)
    (out / "a.parquet").unlink()
    assert scale.score_parquet(model, source, out).files_before == 2
    assert files_of(out)["a.parquet"] != whole["a.parquet"]


def test_input_that_changes_meanwhile_is_noticed(
    model: MDNRegressor, source: Path, tmp_path: Path
) -> None:
    def change(*_: int) -> None:
        os.utime(source / "a.parquet", ns=(1, 1))

    with pytest.raises(ValueError, match="has changed since reading began"):
        scale.score_parquet(model, source, tmp_path / "out", progress=change)
    assert files_of(tmp_path / "out") == {}


def test_other_model_or_options_are_refused(
    model: MDNRegressor, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    scale.score_parquet(model, source, out)
    before = files_of(out)
    other = MDNRegressor(num_components=2, ensemble_size=2, num_steps=40, random_state=1)
    other.fit(rows(80)[NAMES], rows(80)[["y"]])
    with pytest.raises(ValueError, match="was scored with another model"):
        scale.score_parquet(other, source, out)
    with pytest.raises(ValueError, match=r"with quantiles=\[0.05, 0.5, 0.95\], not \[0.5\]"):
        scale.score_parquet(model, source, out, quantiles=[0.5])
    with pytest.raises(ValueError, match=r"columns_kept=\[\], not \['id'\].*overwrite=True"):
        scale.score_parquet(model, source, out, columns_kept=["id"])
    assert files_of(out) == before
    manifest = json.loads((out / MANIFEST).read_text())
    manifest["versions"]["tfp-mdn"] = "0.0.9"
    (out / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"was scored by version 0.0.9\. Score to another"):
        scale.score_parquet(other, source, out)


def test_overwrite_removes_what_was_scored_and_no_more(
    model: MDNRegressor, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    scale.score_parquet(model, source, out)
    (out / "notes.txt").write_text("mine")
    shutil.rmtree(source / "year=1")
    done = scale.score_parquet(model, source, out, quantiles=[], overwrite=True)
    assert (done.files, done.files_before) == (1, 0)
    assert list(files_of(out)) == ["a.parquet", "notes.txt"]
    assert not (out / "year=1").exists()


def test_damaged_manifest_is_refused(model: MDNRegressor, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scale.score_parquet(model, source, out)
    record = json.loads((out / MANIFEST).read_text())
    mine = tmp_path / "mine.parquet"
    mine.touch()
    record["inputs"]["a.parquet"]["outputs"] = ["../mine.parquet"]
    for content in ("", "[]", '{"format": "other", "version": 1}', json.dumps(record)):
        (out / MANIFEST).write_text(content)
        with pytest.raises(ValueError, match="_scoring.json is damaged"):
            scale.score_parquet(model, source, out, overwrite=True)
    assert mine.exists()


def test_two_processes_do_not_meet(model: MDNRegressor, source: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "out"), pytest.raises(ValueError, match="another process is scoring"):
        scale.score_parquet(model, source, tmp_path / "out")
    assert scale.score_parquet(model, source, tmp_path / "out").files == 3


@pytest.fixture
def full_disk() -> Iterator[None]:
    """Let no file grow over 20 kB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk(
    model: MDNRegressor, source: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    out = tmp_path / "out"
    model.predict(rows(2)[NAMES])  # TensorFlow is started
    request.getfixturevalue("full_disk")
    with pytest.raises(OSError, match=r"out/a.parquet could not be written \(.*File too large\)"):
        scale.score_parquet(model, source, out)
    assert files_of(out) == {}
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert scale.score_parquet(model, source, out).files == 3


def test_bad_values_are_told_with_file_and_row(
    model: MDNRegressor, source: Path, tmp_path: Path
) -> None:
    table = rows(500)
    cases: dict[str, tuple[Any, str]] = {
        "nan": (np.nan, r"bad.parquet, rows 300 to 399: the value of 'x' is missing in row 321 "),
        "inf": (-np.inf, r"the value of 'x' is infinite in row 321 \(counted from 0\)"),
        "text": ("far", r"bad.parquet, rows 300 to 399 has .* numbers: 'x' \(such as 'far'\)"),
        "flag": (True, r"bad.parquet, rows 0 to 99 has .* numbers: 'x' \(such as 'True'\)"),
    }
    for name, (value, message) in cases.items():
        bad = table.astype({"x": object})
        bad.loc[321, "x"] = value
        if name == "flag":
            bad["x"] = True
        bad = bad.astype({"x": {"text": str, "flag": bool}.get(name, float)})
        bad.to_parquet(source / "bad.parquet", row_group_size=250)
        with pytest.raises(ValueError, match=message):
            scale.score_parquet(model, source, tmp_path / "out", batch_rows=100)
        # The file before it is done, and what was not scored may be mended.
        assert list(files_of(tmp_path / "out")) == ["a.parquet"]
    bad = table.assign(y=np.where(table["id"] == 7, np.nan, table["y"]))
    bad.to_parquet(source / "a.parquet")
    with pytest.raises(ValueError, match=r"'y' is missing in row 7 "):
        scale.score_parquet(model, source, tmp_path / "judged", target="y")
    table.to_parquet(source / "bad.parquet")
    with pytest.raises(ValueError, match=r"input a.parquet has changed"):
        scale.score_parquet(model, source, tmp_path / "out")


def test_damaged_files(model: MDNRegressor, source: Path, tmp_path: Path) -> None:
    whole = (source / "a.parquet").read_bytes()
    for content, message in (
        (whole[: len(whole) // 2], "a.parquet cannot be read as Parquet"),
        (b"", "a.parquet is empty"),
        (b"id,x,z\n1,2,3\n", "a.parquet cannot be read as Parquet"),
    ):
        (source / "a.parquet").write_bytes(content)
        with pytest.raises(ValueError, match=message):
            scale.score_parquet(model, source, tmp_path / "out")
        assert not (tmp_path / "out").exists()
    # Checksums of pages find what the footer does not tell.
    plain = pa.table({"x": np.arange(1000.0), "z": np.arange(1000.0)})
    file = source / "a.parquet"
    pq.write_table(plain, file, compression="none", use_dictionary=False, write_page_checksum=True)
    changed = bytearray(file.read_bytes())
    changed[3000:3008] = np.float64(-1.0).tobytes()
    file.write_bytes(changed)
    with pytest.raises(ValueError, match=r"a.parquet cannot be read .*(CRC|crc|checksum)"):
        scale.score_parquet(model, source, tmp_path / "out")


def test_categories_of_a_saved_model(tmp_path: Path) -> None:
    size = 300
    table = rows(size).assign(colour=np.where(np.arange(size) % 3 > 0, "red", "blue"))
    encoded = table[["x"]].assign(
        **{f"colour={name}": (table["colour"] == name).astype(float) for name in ("blue", "red")}
    )
    model = MDNRegressor(num_components=2, ensemble_size=1, num_steps=20, random_state=0)
    model.fit(encoded, table[["y"]])
    model.save(tmp_path / "model", extras={"categories": {"colour": ["blue", "red"]}})
    (tmp_path / "in").mkdir()
    for name, kind in (("plain", "str"), ("kind", "category")):
        table.astype({"colour": kind}).to_parquet(tmp_path / "in" / f"{name}.parquet")
    scale.score_parquet(tmp_path / "model", tmp_path / "in", tmp_path / "out")
    found = table_of(tmp_path / "out")["y_mean"].to_numpy()
    expected = np.ravel(model.predict_parameters(encoded).mean())
    np.testing.assert_allclose(found, np.concatenate([expected, expected]), rtol=2e-5)
    table.loc[42, "colour"] = "green"
    table.to_parquet(tmp_path / "in" / "plain.parquet")
    with pytest.raises(ValueError, match=r"plain.parquet, rows 0 to 299 has 1 row\(s\) whose 'col"):
        scale.score_parquet(tmp_path / "model", tmp_path / "in", tmp_path / "out2")


@pytest.mark.parametrize("covariance_type", ["diag", "full"])
def test_plain_models_of_several_targets(tmp_path: Path, covariance_type: str) -> None:
    network = build_mdn(3, 2, input_size=2, seed=0, covariance_type=covariance_type)
    tfp_mdn.save(network, tmp_path / "model")
    rows(40).to_parquet(tmp_path / "in.parquet")
    scale.score_parquet(
        *(tmp_path / "model", tmp_path / "in.parquet", tmp_path / "out"),
        features=NAMES,
        target=["x", "y"],
        quantiles=0.25,
    )
    found = table_of(tmp_path / "out")
    more = ["covariance_0_1"] if covariance_type == "full" else []
    assert list(found) == [
        *("weight", "mean_0", "mean_1", "variance_0", "variance_1", *more),
        *("x_mean", "x_stddev", "x_q0.25", "y_mean", "y_stddev", "y_q0.25"),
        *("log_prob", "x_pit", "y_pit"),
    ]
    given = rows(40)
    parameters = tfp_mdn.extract_parameters(network, given[NAMES].to_numpy())
    y = given[["x", "y"]].to_numpy()
    np.testing.assert_allclose(found["log_prob"], parameters.log_prob(y), rtol=1e-5)
    expected = parameters.marginal(1).quantile(0.25)
    np.testing.assert_allclose(found["y_q0.25"], expected, rtol=1e-5)


def test_stock_layers(tmp_path: Path) -> None:
    network = tf_keras.Sequential(
        [
            tf_keras.layers.Dense(tfp.layers.MixtureNormal.params_size(2, 1), input_shape=(2,)),
            tfp.layers.MixtureNormal(2, 1),
        ]
    )
    rows(40).to_parquet(tmp_path / "in.parquet")
    for before in (0, 1):
        done = scale.score_parquet(
            network, tmp_path / "in.parquet", tmp_path / "out", features=NAMES
        )
        assert done.files_before == before
    found = table_of(tmp_path / "out")
    inputs = rows(40)[NAMES].to_numpy(np.float32)
    np.testing.assert_allclose(found["y_mean"], network(inputs).mean()[:, 0], rtol=1e-5)


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"model": 3}, TypeError, "model must be a tf_keras model, .* got int"),
    ({"model": "nowhere"}, FileNotFoundError, "there is no saved model at nowhere"),
    ({"model": build_mdn(2, input_size=2), "features": None}, ValueError, "features must name"),
    ({"model": build_mdn(2, input_size=3)}, ValueError, "takes 3 features, and the names of 2"),
    ({"source": "nowhere"}, FileNotFoundError, "there is no file or folder nowhere"),
    ({"source": 5}, TypeError, "source must be a path, got 5"),
    ({"destination": None}, TypeError, "destination must be a path, got None"),
    ({"features": ["z", "x"]}, ValueError, "features must be left out: the model was fitted on"),
    ({"features": 3}, TypeError, "features must be a list of column names, got 3"),
    ({"columns_kept": ["nix"]}, ValueError, "a.parquet has no column 'nix'; it has 'id', 'x'"),
    ({"columns_kept": ["x", "x"]}, ValueError, "columns_kept names 'x' twice"),
    ({"columns_kept": {"x": 1}}, TypeError, "columns_kept must be a list of column names"),
    ({"target": ["x", "y"]}, ValueError, r"target must name the 1 target\(s\) of the model"),
    ({"target": "nix"}, ValueError, "a.parquet has no column 'nix'"),
    ({"quantiles": [0.5, 1.0]}, ValueError, "quantiles must be levels strictly between 0 and 1"),
    ({"quantiles": ["a"]}, TypeError, "quantiles must hold real numbers"),
    ({"quantiles": [[0.5]]}, ValueError, "quantiles must be levels"),
    ({"quantiles": [0.1, 0.10000001]}, ValueError, "quantiles must differ in the first six digits"),
    ({"quantiles": [float("nan")]}, ValueError, "quantiles must be finite"),
    ({"quantiles": (), "parameters": False, "mean": False}, ValueError, "nothing is asked"),
    ({"parameters": 1}, TypeError, "parameters must be True or False, got 1"),
    ({"mean": None}, TypeError, "mean must be True or False, got None"),
    ({"overwrite": "yes"}, TypeError, "overwrite must be True or False, got 'yes'"),
    ({"batch_rows": 0}, ValueError, "batch_rows must be at least 1, got 0"),
    ({"workers": 1.5}, TypeError, "workers must be an integer, got 1.5"),
]


@pytest.mark.parametrize(("changed", "kind", "message"), BAD)
def test_bad_arguments(
    model: MDNRegressor,
    source: Path,
    tmp_path: Path,
    changed: dict[str, Any],
    kind: type[Exception],
    message: str,
) -> None:
    given: dict[str, Any] = {"model": model, "source": source, "destination": tmp_path / "out"}
    if changed.get("model") is not None and "features" not in changed:
        given["features"] = NAMES
    with pytest.raises(kind, match=message):
        scale.score_parquet(**{**given, **changed})
    assert not (tmp_path / "out").exists()


def test_bad_places(model: MDNRegressor, source: Path, tmp_path: Path) -> None:
    def refused(kind: type[Exception], message: str, read: Path, written: Path) -> None:
        with pytest.raises(kind, match=message):
            scale.score_parquet(model, read, written)

    before = files_of(tmp_path)
    refused(ValueError, "must not be the source", source, source)
    refused(ValueError, "nor a folder in it", source, source / "out")
    (tmp_path / "link").symlink_to(source)
    refused(ValueError, "must not be the source", source, tmp_path / "link")
    (tmp_path / "link").unlink()
    refused(FileExistsError, "holds files that scoring did not write", source, tmp_path)
    refused(NotADirectoryError, "is a file; name a folder", source / "year=1", source / "a.parquet")
    refused(ValueError, "notes.txt does not end in", source / "notes.txt", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    refused(ValueError, "holds no files that end in", tmp_path / "empty", tmp_path / "out")
    (tmp_path / "empty" / "a.csv").write_text("x,z\n1,2\n")
    refused(ValueError, "a.csv is not a Parquet file", tmp_path / "empty", tmp_path / "out")
    (tmp_path / "empty" / "a.csv").unlink()
    assert files_of(tmp_path) == before


def test_kept_column_with_the_name_of_an_answer(
    model: MDNRegressor, source: Path, tmp_path: Path
) -> None:
    rows(9).rename(columns={"id": "weight"}).to_parquet(source / "a.parquet")
    file = source / "a.parquet"
    with pytest.raises(ValueError, match="'weight' would be the name of two columns"):
        scale.score_parquet(model, file, tmp_path / "out", columns_kept=["weight"])
    scale.score_parquet(model, file, tmp_path / "out", columns_kept=["weight"], parameters=False)
    assert table_of(tmp_path / "out")["weight"].tolist() == list(range(9))


def test_any_type_of_column_is_kept(model: MDNRegressor, tmp_path: Path) -> None:
    table = pa.table(
        {
            "when": pa.array([1, None], pa.timestamp("us", tz="UTC")),
            "nested": pa.array([{"a": [1, 2]}, None]),
            "amount": pa.array([None, 3], pa.decimal128(9, 2)),
            "x": pa.array([1, 2], pa.int8()),
            "z": pa.array([1.5, 2.5], pa.float16()),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    kept = ["nested", "x", "when", "amount"]
    scale.score_parquet(model, tmp_path / "in.parquet", tmp_path / "out", columns_kept=kept)
    found = pq.read_table(tmp_path / "out" / "in.parquet")
    assert found.select(kept).equals(table.select(kept))


def test_importing_and_refusing_needs_no_tensorflow(
    run_python: Callable[..., str], saved: Path, source: Path, tmp_path: Path
) -> None:
    printed = run_python(
        """
        import sys
        from tfp_mdn import scale
        try:
            scale.score_parquet(*sys.argv[1:], columns_kept=["nix"])
        except ValueError as error:
            print("tensorflow" in sys.modules, "no column 'nix'" in str(error))
        """,
        *(saved, source, tmp_path / "out"),
    )
    assert printed.split() == ["False", "True"]
