# SPDX-License-Identifier: AGPL-3.0-only
"""`queuedeck verify-audit`: exit codes, and what it says."""

import pytest
from tests.support.control import run_sql


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request):
    return request.param


@pytest.fixture
def tamper(database):
    def execute(statement):
        run_sql(database, "DROP TRIGGER IF EXISTS audit_entries_refuse_update", statement)

    return execute


@pytest.fixture
def anchor(run, shop, tmp_path):
    file = tmp_path / "anchor.txt"
    file.write_text(run("verify-audit", "--json").json["checkpoint"])
    return file


def test_good_log_exits_0_and_says_what_was_proved(run, shop):
    found = run("verify-audit")
    assert found.code == 0
    assert "Proved: Entries 1 to 1 are there without a gap" in found.out
    assert "Not proved: that nothing was cut off" in found.out


def test_good_log_with_an_anchor_proves_more(run, anchor):
    run("projects", "create", "Bank")
    found = run("verify-audit", "--anchor", str(anchor))
    assert (found.code, "Not proved" in found.out) == (0, False)


def test_changed_log_exits_1_and_says_where(run, shop, tamper):
    run("projects", "create", "Bank")
    edited = "CAST(replace(body, 'bank', 'book') AS BLOB)"
    tamper(f"UPDATE audit_entries SET body = {edited}, project = 'book' WHERE seq = 2")
    found = run("verify-audit")
    assert found.code == 1
    assert "TAMPERED: Entry 2 is not what was written" in found.out
    assert "Proved: Entries 1 to 1" in found.out
    assert run("verify-audit", "--json").json["broken_at"] == 2


@pytest.mark.parametrize("text", ["", "nonsense", "a\n5\nb\n\n— a AAAA\n"])
def test_anchor_that_is_none_exits_3(run, shop, tmp_path, text):
    file = tmp_path / "anchor.txt"
    file.write_text(text)
    found = run("verify-audit", "--anchor", str(file))
    assert (found.code, "UNPROVABLE: The anchor cannot be used" in found.out) == (3, True)


def test_missing_anchor_is_a_usage_error(run, shop):
    assert run("verify-audit", "--anchor", "/nowhere").code == 2


def test_missing_log_exits_3(run):
    found = run("verify-audit")
    assert (found.code, "There is no Queuedeck data in" in found.err) == (3, True)
