"""The package as a whole: lazy names, the order of imports, and nothing changed by importing."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tfp_mdn

PACKAGE = Path(tfp_mdn.__file__).parent

# Imports run from a row to the rows above it, never sideways between entries of one row. A module
# under `mixture`, `datasets` or `plotting` may import others of its own folder.
NUMPY_SIDE = [
    {"_version", "_validation"},
    {"_lattice"},
    {"mixture", "tables", "_placing"},
    {"model_directory"},
    {"datasets", "uncertainty"},
    {"calibration", "scorers"},
    {"conformal"},
    {"plotting"},
]
TENSORFLOW_SIDE = [
    {"_keras", "_distribution", "_parameter_tensors"},
    {"_model_data"},
    {"_marginal_kernels", "_interval_kernels"},
    {"_loss_kernels"},
    {"layers", "losses", "preprocessing"},
    {"_standard_losses"},
    {"members"},
    {"initializers", "_member_steps", "_neighbours", "_one_step"},
    {"models", "callbacks", "recipe", "_defaults", "_training_rows"},
    {"assembly", "member_training", "_epochs", "_flat_epochs", "_generation"},
    {"_compiled", "_replica_batches"},
    {"_strategies"},
    {"training"},
]
ABOVE_BOTH = [
    {"extraction"},
    {"_model_file", "sequences"},
    {"persistence", "_estimator_data"},
    {"_estimator_files"},
    {"_estimator_answers"},
    {"estimator"},
    {"serving"},
    {"_startup", "export", "scale", "report", "selection"},
    {"cli"},
    {"__init__", "__main__"},
]
TENSORFLOW = {"tensorflow", "tensorflow_probability", "tf_keras", "keras"}


def modules() -> dict[str, Path]:
    """Return the module files by dotted name below the package, "mixture.density" for instance."""
    names = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        names[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = path
    return names


def imports(path: Path, *, typing_only: bool = True) -> Iterator[str]:
    """Yield all that a file imports, inside functions too: "numpy", "tfp_mdn.mixture.density".

    Names imported from the package or its folders are yielded as modules where they are modules.
    """
    for node in walk(ast.parse(path.read_text(encoding="utf-8")), typing_only=typing_only):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            home = PACKAGE.parent.joinpath(*str(node.module).split("."))
            for alias in node.names:
                inner = (home / alias.name).with_suffix(".py").exists() or (
                    home / alias.name / "__init__.py"
                ).exists()
                yield f"{node.module}.{alias.name}" if inner else str(node.module)


def walk(node: ast.AST, *, typing_only: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        checks = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if typing_only or not checks:
            yield child
            yield from walk(child, typing_only=typing_only)


def own(names: Iterator[str]) -> set[str]:
    return {name.removeprefix("tfp_mdn.") for name in names if name.startswith("tfp_mdn")}


def outside(names: Iterator[str]) -> set[str]:
    return {name.split(".")[0] for name in names} - {"tfp_mdn"}


def rank(module: str, layers: list[set[str]]) -> int | None:
    return next((i for i, layer in enumerate(layers) if module.split(".")[0] in layer), None)


def may_import(importer: str, imported: str) -> bool:
    for side in ([*NUMPY_SIDE, *ABOVE_BOTH], [*NUMPY_SIDE[:2], *TENSORFLOW_SIDE, *ABOVE_BOTH]):
        upper, lower = rank(importer, side), rank(imported, side)
        if upper is not None and lower is not None:
            same_folder = importer.split(".")[0] == imported.split(".")[0]
            return lower < upper or (same_folder and "." in imported)
    return False


def test_every_module_has_its_place() -> None:
    every = [*NUMPY_SIDE, *TENSORFLOW_SIDE, *ABOVE_BOTH]
    assert [name for name in modules() if rank(name, every) is None] == []
    assert sum(map(len, every)) == len(set().union(*every))


def test_imports_run_one_way() -> None:
    wrong = [
        f"{name} imports {imported}"
        for name, path in modules().items()
        for imported in own(imports(path))
        if imported != "tfp_mdn" and not may_import(name, imported)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("mixture.density", "mixture._checks", True),
        ("plotting.density", "mixture", True),
        ("calibration.report", "calibration.pit", True),
        ("scorers", "mixture", True),
        ("extraction", "_keras", True),
        ("member_training", "callbacks", True),
        ("mixture", "plotting", False),
        ("mixture", "calibration", False),
        ("scorers", "estimator", False),
        ("mixture", "layers", False),
        ("layers", "mixture", False),
        ("losses", "layers", False),
        ("persistence", "estimator", False),
        ("datasets.real", "estimator", False),
    ],
)
def test_the_order_itself(importer: str, imported: str, allowed: bool) -> None:  # noqa: FBT001
    assert may_import(importer, imported) is allowed


def test_nothing_imports_from_the_package_root() -> None:
    names = {name: path for name, path in modules().items() if name != "__init__"}
    assert [name for name, path in names.items() if "tfp_mdn" in own(imports(path))] == []


def test_no_import_cycles() -> None:
    # What only a type checker reads does not make a cycle.
    graph = {
        name: own(imports(path, typing_only=False)) & set(modules()) - {name}
        for name, path in modules().items()
    }
    while graph:
        free = {name for name, needed in graph.items() if not needed & set(graph)}
        assert free, f"cycle among {sorted(graph)}"
        graph = {name: needed for name, needed in graph.items() if name not in free}


def test_the_mathematics_imports_numpy_and_scipy_alone() -> None:
    for name, path in modules().items():
        if name.split(".")[0] in ("mixture", "_validation"):
            # pandas only where a table is asked for, or for type checkers
            allowed = sys.stdlib_module_names | {"numpy", "scipy", "pandas"}
            assert outside(imports(path)) <= allowed, name
            assert "pandas" not in {
                part.split(".")[0]
                for node in ast.parse(path.read_text(encoding="utf-8")).body
                for part in imported_here(node)
            }


def imported_here(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [str(node.module)] if isinstance(node, ast.ImportFrom) else []


def test_the_numpy_side_does_not_import_tensorflow() -> None:
    for name, path in modules().items():
        if rank(name, NUMPY_SIDE) is not None:
            assert not outside(imports(path)) & TENSORFLOW, name


def test_every_public_name_resolves_and_nothing_else_is_listed() -> None:
    assert dir(tfp_mdn) == sorted(tfp_mdn.__all__)
    assert len(set(tfp_mdn.__all__)) == len(tfp_mdn.__all__)
    for name in tfp_mdn.__all__:
        assert getattr(tfp_mdn, name) is not None
    for name in ("mixture", "layers"):
        assert getattr(tfp_mdn, name).__name__ == f"tfp_mdn.{name}"
    assert tfp_mdn.MixtureParameters is tfp_mdn.mixture.MixtureParameters


def test_every_module_lists_its_names() -> None:
    for name, path in modules().items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assigned = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        assert "__all__" in assigned, name
        assert ast.get_docstring(tree), name


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="module 'tfp_mdn' has no attribute 'build_mdm'"):
        _ = tfp_mdn.build_mdm
    with pytest.raises(ImportError, match="cannot import name 'build_mdm'"):
        from tfp_mdn import build_mdm  # noqa: F401


def test_importing_is_lazy(run_python: Callable[..., str]) -> None:
    printed = run_python(
        """
        import json, sys
        import tfp_mdn
        heavy = {"tensorflow", "tf_keras", "keras", "tensorflow_probability"}
        bare = sorted(({"numpy", "scipy", "sklearn", "matplotlib"} | heavy) & set(sys.modules))
        tfp_mdn.MixtureParameters, tfp_mdn.datasets, tfp_mdn.plotting
        tfp_mdn.calibration_report, tfp_mdn.neg_crps_scorer
        print(json.dumps([bare, sorted(heavy & set(sys.modules))]))
        """
    )
    assert json.loads(printed) == [[], []]


def test_importing_changes_no_global_state(run_python: Callable[..., str]) -> None:
    printed = run_python(
        """
        import json, logging, os, random, warnings
        import numpy as np
        import tensorflow as tf, tensorflow_probability as tfp, tf_keras, sklearn.base, absl.logging
        tfp.layers  # TFP loads its parts when they are used
        random.seed(3), np.random.seed(3)

        def state():
            loggers = [logging.getLogger(name) for name in (None, "absl", "tensorflow")]
            return [
                [(logger.level, len(logger.handlers)) for logger in loggers],
                tf.get_logger().getEffectiveLevel(), absl.logging.get_verbosity(),
                dict(os.environ), str(random.getstate()), str(np.random.get_state()),
                tf_keras.backend.floatx(), tf_keras.mixed_precision.global_policy().name,
                tf_keras.backend.image_data_format(), tf.config.functions_run_eagerly(),
                tf.config.threading.get_intra_op_parallelism_threads(),
                str(tf.random.get_global_generator().state.numpy()), np.geterr(),
                [str(entry) for entry in warnings.filters],
            ]

        before = state()
        import tfp_mdn
        for name in tfp_mdn.__all__:
            if name != "plotting":  # Matplotlib registers converters and filters of its own
                getattr(tfp_mdn, name)
        after = state()
        print(json.dumps([i for i, pair in enumerate(zip(before, after)) if pair[0] != pair[1]]))
        """
    )
    assert json.loads(printed) == []
