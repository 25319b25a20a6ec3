"""The summary tells what the run directory holds."""

import re
from pathlib import Path

from typer.testing import CliRunner

from learnalign import grad, rollout, select
from learnalign.report import write_report
from learnalign.rundir import RunDir
from learnalign.summary import report_is_old, summarise
from learnalign_cli.app import app
from tests.selection.measured import measured_run
from tests.tiny import make_config


def test_a_summary_adds_up_before_and_after_the_stages(tmp_path: Path) -> None:
    changes = {
        "model": {"name": "demo"},
        "data": {"path": "demo", "limit": 12},
        "verifier": "math",
        "rollout": {"num_generations": 8, "max_completion_length": 48},
        "select": {"size": 2},
    }
    run = RunDir.create(tmp_path / "run", make_config(tmp_path, **changes))
    empty = summarise(run)
    assert (empty["success"], empty["chosen"], empty["stages"]) == (None, None, [])
    rollout(run)
    grad(run)
    chosen = select(run, fill=True).chosen
    summary = summarise(run)
    assert summary["pool"] == {"rows": 12, "prompts": 12}
    assert sum(count for _, count in summary["success"]["histogram"]) == 12
    assert summary["chosen"] == chosen == 2
    assert [stage["stage"] for stage in summary["stages"]] == ["pool", "rollout", "grad", "select"]
    assert all(stage["status"] == "done" for stage in summary["stages"])
    assert (summary["dtype"], summary["engine"]) == ("float32", "transformers")
    assert "of the 2 chosen" in summary["stability"]["learnalign"]


def test_a_report_of_an_earlier_choice_is_told_from_one_of_the_present(tmp_path: Path) -> None:
    run = measured_run(tmp_path)
    assert not report_is_old(run)
    write_report(run)
    assert not report_is_old(run)
    select(run)
    assert report_is_old(run)
    write_report(run)
    select(run)
    assert not report_is_old(run)
    select(run, 2)
    assert report_is_old(run)
    select(run)
    run.scores_file("learnalign").write_bytes(b"damaged")
    assert not report_is_old(run)
    run.report_file.write_text("<p>another page</p>")
    assert not report_is_old(run)


def test_a_report_replaces_a_report_and_no_file_of_the_users_own(tmp_path: Path) -> None:
    run, page, notes = measured_run(tmp_path), tmp_path / "page.html", tmp_path / "notes.html"
    notes.write_text("<p>mine</p>")
    outputs = [page, page, notes]
    results = [CliRunner().invoke(app, ["report", str(run.path), "-o", str(output)]) for output in outputs]
    assert [result.exit_code for result in results] == [0, 0, 2]
    assert "notes.html: a file is there that learnalign did not write" in results[-1].output
    assert notes.read_text() == "<p>mine</p>"


def test_status_and_report_show_the_cpu_time_of_each_stage(tmp_path: Path) -> None:
    """A dash for a stage that a former version made, which did not count it."""
    run = measured_run(tmp_path)
    select_entry = run.read_record()["stages"]["select"] | {"cpu_seconds": 4321.0}
    signal_entry = {key: value for key, value in select_entry.items() if key != "cpu_seconds"}
    run._update(stages={"signal": signal_entry, "select": select_entry})
    shown = CliRunner().invoke(app, ["status", str(run.path)]).stdout
    table = shown[shown.index("CPU time") :]
    assert re.search(r"signal .* – ", table)
    assert re.search(r"select .* 1 h 12 min ", table)
    page = write_report(run).read_text()
    assert '<td class="n">1 h 12 min</td>' in page[page.index("CPU time") :]
