from __future__ import annotations

from busi_demo.evaluation.card.doubt import input_table, kept_table, set_table, share, size_table, trust_table

TRUST = {
    "levels": {
        "green": {"n": 40, "right": 38, "missed": 1},
        "amber": {"n": 60, "right": 45, "missed": 4},
        "red": {"n": 0, "right": 0, "missed": 0},
    },
    "sizes": {"1": {"n": 50, "right": 48, "missed": 0}, "2": {"n": 50, "right": 35, "missed": 5}},
    "malignant": 20,
    "sets": {"0.95": {"all": {"n": 100, "covered": 95, "mean_size": 1.5}, "benign": {"n": 0, "covered": 0}}},
    "dice": None,
    "kept": {"at": {"0.62": 0.9}, "area": 0.05, "ideal": 0.01},
}


def test_a_share_has_the_interval_of_wilson():
    assert share(95, 100) == "95.0 (88.8 to 97.8)"  # Newcombe, Statistics in Medicine 1998, method 3
    assert share(0, 10) == "0.0 (0.0 to 27.8)" and share(0, 0) == "-"


def test_levels_are_shares_of_all_answers_and_missed_ones_of_all_malignant():
    heads, rows = trust_table({"cnn": TRUST})
    assert len(heads) == len(rows[0]) == 5
    assert rows[0][:2] == ["cnn", "green"] and rows[0][2].startswith("40.0 (") and rows[0][3].startswith("95.0 (")
    assert rows[1][4].startswith("20.0 (") and rows[2][3] == "-"


def test_sizes_are_shares_of_all_answers():
    heads, rows = size_table({"cnn": TRUST})
    assert len(heads) == 4 and rows[0][:2] == ["cnn", "1"] and rows[1][3].startswith("70.0 (")


def test_sets_and_answers_kept_without_outlines():
    heads, rows = set_table({"cnn": TRUST})
    assert rows == [["cnn", "95 %", "1.50", "95.0 (88.8 to 97.8)", "-", "-", "-"]] and len(heads) == 7
    heads, rows = kept_table({"cnn": TRUST})
    assert rows == [["cnn", "90.0", "0.0500 (0.0100)", "-", "-"]] and len(heads) == 5


def test_pictures_of_the_input_check_are_named_by_what_was_done_with_them():
    counts = {"n": 100, "doubtful": 2, "refused": 0}
    _, rows = input_table({"known": {"BUSI": counts}, "others": {"photo": {"n": 10, "doubtful": 0, "refused": 10}}})
    assert [row[0] for row in rows] == ["BUSI, cross-validated", "photo: never fitted to"]
    assert rows[1][3].startswith("100.0 (")


def test_another_data_set_has_rows_of_its_own():
    measured = {**TRUST, "elsewhere": {"OTHER": TRUST}}
    for make in (trust_table, size_table, set_table, kept_table):
        names = [row[0] for row in make({"cnn": measured})[1]]
        assert list(dict.fromkeys(names)) == ["cnn", "cnn on OTHER"] and names.count("cnn") * 2 == len(names)
