"""What `--check` takes for a pass: every demand measured, and met."""

import types

import pytest

import bench.__main__ as command
from bench.demands import DEMANDS


def good(demand):
    return demand.limit


@pytest.fixture
def measured(monkeypatch):
    """Run the command with sections that note these figures; return its code and what ran."""

    def run(figures, *arguments):
        ran = []

        def section(name):
            module = types.SimpleNamespace()

            def measure(bench):
                ran.append(name)
                for demand in DEMANDS:
                    if demand.section == name and demand.key in figures:
                        bench.figure(demand.key, figures[demand.key])

            module.run = measure
            return module

        monkeypatch.setattr(command.contenders, "available", lambda: ({}, []))
        monkeypatch.setattr(
            command.importlib, "import_module", lambda name: section(name.partition(".")[2])
        )
        return command.main(list(arguments)), ran

    return run


ALL = {demand.key: good(demand) for demand in DEMANDS}


def test_all_measured_and_met(measured, capsys):
    code, ran = measured(ALL, "--check")
    assert code == 0
    assert set(ran) == set(command.SECTIONS) >= {demand.section for demand in DEMANDS}
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("demand", DEMANDS, ids=lambda demand: demand.key)
def test_a_demand_that_was_not_measured_fails(measured, capsys, demand):
    code, _ = measured({key: value for key, value in ALL.items() if key != demand.key}, "--check")
    told = capsys.readouterr()
    assert code == 1
    assert told.err == f"not measured: {demand.text}\n"
    # It was asked for already: to ask for it again is no remedy.
    assert told.out.count("not measured (see the notes)") == 1
    assert "not measured (--check" not in told.out


@pytest.mark.parametrize("demand", DEMANDS, ids=lambda demand: demand.key)
def test_a_demand_that_is_missed_fails(measured, capsys, demand):
    worse = demand.limit * (0.9 if demand.sense == ">=" else 1.1)
    code, _ = measured({**ALL, demand.key: worse}, "--check")
    assert code == 1
    assert capsys.readouterr().err == f"missed: {demand.text}\n"


def test_sections_by_name_are_judged_alone(measured):
    kernels = {demand.key: demand.limit for demand in DEMANDS if demand.section == "kernels"}
    assert measured(kernels, "--check", "--only", "kernels") == (0, ["kernels"])
    kernels.popitem()
    assert measured(kernels, "--check", "--only", "kernels") == (1, ["kernels"])


def test_without_it_nothing_fails_and_nothing_takes_long(measured, capsys):
    code, ran = measured({})
    assert code == 0
    told = capsys.readouterr().out
    assert told.count("not measured (--check, or --only ") == len(DEMANDS)
    assert "instructions" not in ran and "engine" in ran


@pytest.mark.parametrize("where", ["missing/x.json", "", "file/x.json"])
@pytest.mark.parametrize("command_of", [[], ["soak"]], ids=["bench", "soak"])
def test_a_result_that_cannot_be_kept_is_known_before_anything_runs(
    measured, capsys, tmp_path, where, command_of
):
    (tmp_path / "file").touch()
    path = tmp_path / where
    with pytest.raises(SystemExit) as caught:
        measured(ALL, *command_of, "--json", str(path))
    told = capsys.readouterr()
    assert (caught.value.code, told.out) == (2, "")
    assert told.err.startswith(
        f"python -m bench{' soak' * len(command_of)}: error: --json {path}: "
    )
    assert told.err.count("\n") == 1


def test_a_former_result_stands_until_the_next(measured, monkeypatch, tmp_path):
    former = tmp_path / "x.json"
    former.write_text("{}")
    seen = []
    kept = command.Bench.write
    monkeypatch.setattr(
        command.Bench,
        "write",
        lambda self, path, demands: (seen.append(former.read_text()), kept(self, path, demands)),
    )
    measured(ALL, "--json", str(former))
    assert seen == ["{}"]
    assert "must_reach" in former.read_text()
    assert command.arguments(["--json", str(tmp_path / "new.json")]).json
    assert [each.name for each in tmp_path.iterdir()] == ["x.json"]
