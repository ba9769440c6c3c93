"""What a user can get wrong: one line that says what, exit 2 (4 for the database), and every file as it was."""

from __future__ import annotations

import pickle
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from commandline import committed, evidence, figures, query, refused, rsuq, snapshot
from samples import Sample, blob_arrays, write_blobs, write_npz

from rsuq_cli.models.zoo import build

if TYPE_CHECKING:
    from conftest import Place


def refusal(place: Place, *arguments: object, exit_code: int = 2) -> str:
    """Returns the line of a command that must refuse and leave everything below the place as it was."""
    before = snapshot(place.root)
    line = refused(rsuq(*arguments), exit_code)
    assert snapshot(place.root) == before
    return line


@pytest.mark.parametrize("command", ["certify", "train"])
@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--model", "resnet101"), "did you mean resnet110"),
        (("--model", "CNN2"), "cnn"),
        (("--model", "zzzzzz"), "known: cnn, densenet121"),
        (("--model", "nowhere.py:make"), "there is no file"),
        (("--dataset", "cifar"), "did you mean cifar10 or cifar100?"),
        (("--dataset", "digit"), "did you mean digits?"),
        (("--dataset", "npz:nowhere.npz"), "nowhere.npz"),
        (("--dataset", "folder:nowhere"), "nowhere"),
        (("--sigma", "0"), "sigma is 0"),
        (("--sigma", "-0.5"), "sigma is -0.5"),
        (("--sigma", "nan"), "sigma is nan"),
        (("--sigma", "inf"), "sigma is inf"),
        (("--device", "cuda:99"), "CUDA"),
        (("--device", "tpu"), "tpu"),
        (("--precision", "fp8"), "unknown precision 'fp8'"),
        (("--seed", "-1"), "seed is -1"),
        (("--batch-size", "0"), "batch"),
        (("--image-size", "0"), "image size"),
        (("--image-size", 10**12), "the image size 1000000000000 is above 16,384 pixels"),
        (("--sigma", "1e308"), "sigma is 1e+308"),
        (("--seed", 2**63), "--seed is 9223372036854775808; 9223372036854775807 is the largest"),
        (("--model", "x" * 5000 + ".py:make"), "file name too long"),
        (("--dataset", "folder:" + "x" * 300), "name"),
    ],
)
def test_settings_of_either_command(place: Place, command: str, flags: tuple[str, ...], says: str) -> None:
    assert says in refusal(place, command, *flags)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--n", "0"), "--n is 0"),
        (("--n0", "0"), "--n0 is 0"),
        (("--skip", "0"), "--skip is 0"),
        (("--limit", "-3"), "--limit is -3"),
        (("--n", "9"), "cannot certify anything: alpha^(1/n) is at most 1/2; give --n 10 or more"),
        (("--n", "11", "--family-wise"), "cannot certify anything"),
        (("--alpha", "0"), "alpha is 0"),
        (("--alpha", "1"), "alpha is 1"),
        (("--alpha", "-1"), "alpha is -1"),
        (("--alpha", "nan"), "alpha is nan"),
        (("--threshold", "1.5"), "threshold 1.5 is outside the range of entropy, [0, 1]; use --coverage"),
        (("--threshold", "-0.1", "--uncertainty", "margin"), "outside the range of margin"),
        (("--threshold", "nan", "--uncertainty", "energy"), "threshold nan"),
        (("--threshold", "-1", "--uncertainty", "gen"), "[0, inf]"),
        (("--coverage", "0.9", "--threshold", "0.4"), "both --coverage and --threshold"),
        (("--coverage", "1.2"), "coverage 1.2"),
        (("--coverage", "0"), "coverage 0"),
        (("--coverage", "nan"), "coverage nan"),
        (("--uncertainty", "entrpy"), "did you mean entropy"),
        (("--rule", "pluralty"), "did you mean plurality?"),
        (("--competitors", "everyone"), "unknown competitors"),
        (("--split", "tset"), "did you mean test"),
        (("--batch-size", "many"), "--batch-size is 'many'; give a number of samples, or auto"),
        (("--radii", "0,a"), "--radii '0,a' are no numbers"),
        (("--radii", "0,-1"), "are no radii"),
        (("--weights", "x" * 300), "file name too long"),
        (("--n", 10**30), "--n is 1000"),
        (("--limit", 2**63), "--limit is 9223372036854775808"),
        (("--workers", 10**12), "--workers is 1000000000000; give at most"),
        (("--weights", "nowhere.safetensors"), "there is no weights file nowhere.safetensors"),
    ],
)
def test_settings_of_certify(place: Place, flags: tuple[str, ...], says: str) -> None:
    assert says in refusal(place, "certify", *flags)


@pytest.mark.parametrize("rows", [10**14, 2**62])
def test_a_batch_that_no_memory_holds(place: Place, blobs: Sample, rows: int) -> None:
    assert "cpu has no memory for a batch of" in refused(rsuq("certify", *blobs.flags, "--n", 50, "--batch-size", rows))


def test_the_number_of_samples_in_the_hint_is_enough(place: Place, blobs: Sample) -> None:
    assert rsuq("certify", *blobs.flags, "--n", 10).exit_code == 0


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (("--epochs", "0"), "epochs is 0"),
        (("--batch-size", "1"), "batch size is 1"),
        (("--learning-rate", "0"), "learning rate is 0"),
        (("--learning-rate", "nan"), "learning rate is nan"),
        (("--learning-rate", "1e308"), "learning rate is 1e+308"),
        (("--objective", "gausian"), "did you mean gaussian?"),
        (("--schedule", "cosin"), "did you mean cosine?"),
        (("--dataset", "npz:test_only.npz"), "has no training data"),
        (("--checkpoint-dir", "test_only.npz/below"), "cannot be written to test_only.npz/below"),
    ],
)
def test_settings_of_train(place: Place, flags: tuple[str, ...], says: str) -> None:
    arrays = {name: values for name, values in blob_arrays().items() if name.endswith("test")}
    write_npz(place.work / "test_only.npz", **arrays)
    assert says in refusal(place, "train", "--model", "mlp", *flags)


@pytest.mark.parametrize("flags", [("--n", "5"), ("--limit", "0"), ("--device", "tpu")])
def test_settings_of_quickstart(place: Place, flags: tuple[str, ...]) -> None:
    refusal(place, "quickstart", *flags)


@pytest.mark.parametrize("command", ["certify", "train"])
def test_a_flag_that_is_no_number_or_not_known(place: Place, command: str) -> None:
    before = snapshot(place.root)
    for flags in (("--sigma", "much"), ("--sgima", "1")):
        result = rsuq(command, *flags)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
    assert snapshot(place.root) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("command", ["certify", "train", "quickstart"])
def test_cuda_asked_for_and_absent(place: Place, command: str) -> None:
    assert "CUDA was asked for and is not available here" in refusal(place, command, "--device", "cuda")


class TestCheckpoints:
    """Weights that are not there, do not fit, or are no weights."""

    @pytest.mark.parametrize(
        ("flags", "line"),
        [
            (("--model", "cnn", "--sigma", "0.5"), "rsuq train --model cnn --sigma 0.5"),
            (("--model", "mlp", "--sigma", "0.1"), "rsuq train --model mlp --sigma 0.1"),
            (
                ("--model", "mlp", "--dataset", "npz:blobs.npz", "--image-size", "8"),
                "rsuq train --model mlp --dataset npz:blobs.npz --image-size 8 --sigma 0.25",
            ),
        ],
    )
    @pytest.mark.parametrize("with_database", [False, True])
    def test_none_for_this_sigma(
        self, place: Place, blobs: Sample, trained: Path, flags: tuple[str, ...], line: str, with_database: bool
    ) -> None:
        if with_database:
            shutil.copy(trained, place.database)
        assert line in refusal(place, "certify", *flags)

    def test_the_line_that_trains_one_does(self, place: Place) -> None:
        line = refused(rsuq("certify", "--model", "mlp", "--n", 50))
        command = line.split("train it: rsuq ")[1].split("  (or")[0].split()
        assert rsuq(*command, "--epochs", 1).exit_code == 0
        assert rsuq("certify", "--model", "mlp", "--n", 50, "--limit", 2).exit_code == 0

    def test_a_file_that_went_away(self, place: Place, trained: Path) -> None:
        shutil.copy(trained, place.database)
        with closing(sqlite3.connect(place.database)) as connection:
            connection.execute("UPDATE checkpoint SET file = '/nowhere/mlp.safetensors'")
            connection.commit()
        assert "/nowhere/mlp.safetensors, which is not there" in refusal(place, "certify", "--model", "mlp")

    @pytest.mark.parametrize(
        ("arrays", "says"),
        [
            ({"x_test": np.zeros((4, 8, 8)), "y_test": [0, 1, 2, 0]}, "classes"),
            ({"x_test": np.zeros((10, 6, 6)), "y_test": range(10)}, "1×8×8"),
            ({"x_test": np.zeros((10, 3, 8, 8)), "y_test": range(10)}, "1×8×8"),
        ],
    )
    def test_other_classes_or_another_shape(
        self, place: Place, trained: Path, arrays: dict[str, Any], says: str
    ) -> None:
        dataset = write_npz(place.work / "other.npz", **arrays)
        (weights,) = (trained.parent / "checkpoints").glob("*.safetensors")
        line = refusal(place, "certify", "--model", "mlp", "--dataset", dataset, "--weights", weights)
        assert says in line

    def test_a_network_of_other_classes(self, place: Place, blobs: Sample) -> None:
        arrays = blob_arrays() | {"y_test": np.arange(12) % 4, "y_train": np.arange(60) % 4}
        dataset = write_npz(place.work / "four.npz", **arrays)
        line = refusal(place, "certify", "--model", blobs.model, "--dataset", dataset)
        assert "answers with 3 classes, and the data have 4" in line

    @pytest.mark.parametrize("kept", [0, 7, 100, 0.5, 0.999])
    def test_cut_short(self, place: Place, trained: Path, kept: float) -> None:
        (whole,) = (trained.parent / "checkpoints").glob("*.safetensors")
        content = whole.read_bytes()
        weights = place.work / "cut.safetensors"
        weights.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
        assert "cut.safetensors" in refusal(place, "certify", "--model", "mlp", "--weights", weights)

    def test_noise_for_weights(self, place: Place) -> None:
        weights = place.work / "noise.pt"
        weights.write_bytes(np.random.default_rng(0).bytes(5000))
        assert "noise.pt" in refusal(place, "certify", "--model", "mlp", "--weights", weights)

    @pytest.mark.filterwarnings("ignore:Detected pickle protocol")
    @pytest.mark.parametrize(("dump", "says"), [(pickle.dump, ""), (torch.save, " is refused: loading it would run")])
    def test_a_pickle_that_would_run_code(self, place: Place, dump: Callable[[Any, Any], None], says: str) -> None:
        payload = place.work / "payload-has-run"

        class Malicious:
            def __reduce__(self) -> tuple[Any, ...]:
                return Path.touch, (payload,)

        weights = place.work / "gift.pt"
        with weights.open("wb") as file:
            dump({"state_dict": Malicious()}, file)
        line = refusal(place, "certify", "--model", "mlp", "--weights", weights)
        assert f"gift.pt{says}" in line
        assert not payload.exists()

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            (b"", "it is empty"),
            (b"<!DOCTYPE html>\n<html><body>404</body></html>", "it is a web page"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n", "git lfs pull"),
            (b"\x1f\x8b\x08\x00 and so on", "it is compressed"),
            (b'{"metadata": {}, "weight_map": {"fc": "model-00001-of-00002.safetensors"}}', "index of several files"),
        ],
    )
    def test_something_else_is_called_what_it_is(self, place: Place, content: bytes, says: str) -> None:
        weights = place.work / "model.pth"
        weights.write_bytes(content)
        assert says in refusal(place, "certify", "--model", "mlp", "--weights", weights)

    def test_weights_that_are_not_finite(self, place: Place) -> None:
        model = build("mlp", shape=(1, 8, 8), num_classes=10)
        state = model.state_dict()
        next(value for value in state.values() if value.ndim == 2)[0, 0] = torch.nan
        torch.save(state, place.work / "spoiled.pt")
        assert "not finite" in refusal(place, "certify", "--model", "mlp", "--weights", place.work / "spoiled.pt")


class TestData:
    """Data sets that hold what cannot be certified."""

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"x_test": np.full((12, 2, 2), np.nan)}, "x_test holds NaN"),
            ({"x_test": np.full((12, 2, 2), np.inf)}, "infinite"),
            ({"x_test": np.full((12, 2, 2), 1.001)}, "outside [0, 1]"),
            ({"x_test": np.full((12, 2, 2), -0.001)}, "outside [0, 1]"),
            ({"x_test": np.full((12, 2, 2), 128.0)}, "divide by 255"),
            ({"x_test": np.zeros((12, 2, 2), dtype=np.int64)}, "type int64"),
            ({"x_test": np.zeros((12, 2))}, "shape"),
            ({"x_test": np.zeros((11, 2, 2))}, "one label an image"),
            ({"y_test": np.full(12, 3)}, "y_test holds the label 3, but there are 3 classes"),
            ({"y_test": np.full(12, -1)}, "y_test holds the label -1"),
            ({"y_test": np.full(12, 0.5)}, "not whole numbers"),
            ({"x_test": np.zeros((0, 2, 2)), "y_test": np.zeros(0, dtype=int)}, "no test inputs"),
            ({"y_test": np.array([object()] * 12)}, "cannot be read"),
        ],
    )
    def test_arrays(self, place: Place, blobs: Sample, changes: dict[str, Any], says: str) -> None:
        dataset = write_npz(place.work / "bad.npz", **(blob_arrays() | changes))
        line = refusal(place, "certify", "--model", blobs.model, "--dataset", dataset)
        assert says in line
        assert "bad.npz" in line

    def test_no_archive(self, place: Place, blobs: Sample) -> None:
        (place.work / "bad.npz").write_bytes(b"PK\x03\x04 and no more")
        assert "bad.npz" in refusal(place, "certify", "--model", blobs.model, "--dataset", "npz:bad.npz")

    @pytest.mark.parametrize("command", ["certify", "train"])
    def test_an_image_that_does_not_decode(self, place: Place, command: str) -> None:
        from PIL import Image

        for part in ("train", "test"):
            for name in ("cat", "dog"):
                folder = place.work / "pets" / part / name
                folder.mkdir(parents=True)
                for number in range(12):
                    Image.new("L", (2, 2), number).save(folder / f"{number:02}.png")
                (folder / "05.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
        (place.work / "tiny.py").write_text(
            "from torch import nn\ndef make(): return nn.Sequential(nn.Flatten(), nn.Linear(4, 2))\n"
        )
        line = refusal(place, command, "--model", "tiny.py:make", "--dataset", "folder:pets")
        assert "does not decode as an image" in line
        assert "05.png" in line

    @pytest.mark.parametrize("made", ["nothing", "no classes", "no images"])
    def test_an_empty_folder(self, place: Place, blobs: Sample, made: str) -> None:
        folder = place.work / "empty"
        folder.mkdir()
        if made != "nothing":
            (folder / "test" / ("cat" if made == "no images" else "")).mkdir(parents=True)
        assert "empty" in refusal(place, "certify", "--model", blobs.model, "--dataset", "folder:empty")


class TestDatabase:
    """A database that cannot be used: exit 4."""

    @pytest.fixture
    def commands(self, place: Place, blobs: Sample) -> list[tuple[object, ...]]:
        """Every command that opens the database."""
        return [
            ("certify", *blobs.flags, "--n", 50), ("train", "--model", "mlp", "--epochs", 1), ("report",),
            ("db", "runs"), ("db", "check"), ("db", "upgrade"), ("quickstart",),
        ]  # fmt: skip

    def test_a_folder_that_cannot_be_made(self, place: Place, commands: list[tuple[object, ...]]) -> None:
        (place.work / "file").write_text("in the way")
        for command in commands:
            line = refusal(place, *command, "--db", place.work / "file" / "below" / "rsuq.db", exit_code=4)
            assert "rsuq.db" in line

    def test_a_database_that_may_not_be_written(
        self, place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # SQLite's own read-only mode, since root may write to any file.
        assert rsuq("db", "upgrade").exit_code == 0
        monkeypatch.setattr("rsuq_cli.results.connections._access", lambda path, mode: "mode=ro")
        for command in (("certify", *blobs.flags, "--n", 50), ("train", "--model", "mlp", "--epochs", 1)):
            assert "is read-only" in refusal(place, *command, exit_code=4)

    def test_a_file_that_is_no_database(self, place: Place, commands: list[tuple[object, ...]]) -> None:
        place.database.write_bytes(b"my diary, " * 500)
        for command in commands:
            assert "is not a database" in refusal(place, *command, exit_code=4)

    def test_a_database_of_another_program(self, place: Place, commands: list[tuple[object, ...]]) -> None:
        with closing(sqlite3.connect(place.database)) as connection:
            connection.execute("CREATE TABLE recipe (id INTEGER)")
        for command in commands:
            assert "belongs to another program" in refusal(place, *command, exit_code=4)

    def test_a_newer_schema(self, place: Place, commands: list[tuple[object, ...]]) -> None:
        rsuq("db", "upgrade")
        with closing(sqlite3.connect(place.database)) as connection:
            connection.execute("UPDATE rsuq_version SET version_num = '9999'")
            connection.commit()
        for command in (command for command in commands if command != ("db", "check")):
            line = refusal(place, *command, exit_code=4)
            assert "is newer than this rsuq (schema 9999" in line
            assert "pip install --upgrade rsuq" in line

    def test_locked_by_another_program(self, place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RSUQ_BUSY_TIMEOUT", "0.2")
        rsuq("db", "upgrade")
        with closing(sqlite3.connect(place.database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            for command in (("certify", *blobs.flags, "--n", 50), ("train", "--model", "mlp", "--epochs", 1)):
                line = refusal(place, *command, exit_code=4)
                assert "is locked by another program (waited 0.2 s)" in line
            other.execute("ROLLBACK")
        assert rsuq("certify", *blobs.flags, "--n", 50).exit_code == 0

    def test_none_to_read(self, place: Place) -> None:
        for command in (("report",), ("db", "runs"), ("db", "check")):
            assert "there is no database at" in refusal(place, *command, exit_code=4)

    @pytest.mark.parametrize("url", ["mysql://host/results", "://", "sqlite:///:memory:"])
    def test_a_url_that_is_none(self, place: Place, url: str) -> None:
        refusal(place, "db", "path", "--db", url, exit_code=4)

    def test_a_waiting_time_that_is_none(self, place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("RSUQ_BUSY_TIMEOUT", "soon")
        line = refusal(place, "certify", *blobs.flags, "--n", 50)
        assert "RSUQ_BUSY_TIMEOUT must be a number of seconds" in line


class TestFullDisk:
    """SQLite's own limit on pages gives the very error that a full disk does."""

    @staticmethod
    def allow(monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
        from rsuq_cli.results import connections

        connect = connections._connect

        def cramped(path: Path, mode: Any) -> sqlite3.Connection:
            connection = connect(path, mode)
            connection.execute(f"PRAGMA max_page_count = {pages}")
            return connection

        monkeypatch.setattr(connections, "_connect", cramped)

    def test_before_the_first_table(self, place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
        self.allow(monkeypatch, 5)
        assert "no space left for" in refusal(place, "certify", *blobs.flags, "--n", 50, exit_code=4)

    def test_in_the_middle_of_a_run(self, place: Place, blobs: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
        write_npz(place.work / "blobs.npz", **blob_arrays(test=100))
        command = ("certify", *blobs.flags, "--n", 300, "--batch-size", 512, "--format", "json")
        whole = rsuq(*command, "--db", place.work / "whole.db")
        rsuq("db", "upgrade")
        pages = query(place.database, "PRAGMA page_count")[0][0]
        with pytest.MonkeyPatch.context() as cramped:
            self.allow(cramped, pages + 12)
            result = rsuq(*command)
        assert result.exit_code == 4
        assert result.stdout == ""
        assert "error: no space left for" in result.stderr.splitlines()[-1]
        assert "Traceback" not in result.stderr
        assert 0 < committed(place.database) < 100
        assert rsuq("db", "check").exit_code == 0
        assert figures(rsuq(*command)) == figures(whole)
        assert evidence(place.database) == evidence(place.work / "whole.db")


def test_write_blobs_is_itself_accepted(place: Place) -> None:
    """What the tests above change one thing of is certified as it is."""
    assert rsuq("certify", *write_blobs(place.work).flags, "--n", 50).exit_code == 0
