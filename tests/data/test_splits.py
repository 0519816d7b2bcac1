from __future__ import annotations

from collections import Counter

import imagehash
import pytest
from helpers import picture
from PIL import Image

from busi_demo.data import splits
from busi_demo.data.busi import FileSample
from busi_demo.data.duplicates import fingerprint
from busi_demo.data.published import locked_test
from busi_demo.data.splits import split_samples
from busi_demo.types import InputError

LABELS = ["benign"] * 20 + ["malignant"] * 15 + ["normal"] * 10


def sample(i: int, label: str, name: str | None = None) -> FileSample:
    return FileSample(name or f"{label} case ({i}).png", label, f"{label}/{i}", None, ())


@pytest.fixture(scope="module")
def data():
    """45 unlike images with their fingerprints."""
    return [sample(i, label) for i, label in enumerate(LABELS)], [fingerprint(picture(i)) for i in range(len(LABELS))]


def test_each_image_is_on_one_side(data):
    split = split_samples(*data)
    assert sorted(split.train + split.validation) == list(range(45))
    assert split.locked == ()
    assert list(split.train) == sorted(split.train) and list(split.validation) == sorted(split.validation)
    assert len(split.groups) == 45


def test_it_is_stratified(data):
    split = split_samples(*data)
    assert Counter(LABELS[i] for i in split.validation) == {"benign": 4, "malignant": 3, "normal": 2}


def test_the_folds_cover_everything_once(data):
    validated = [i for fold in range(5) for i in split_samples(*data, fold=fold).validation]
    assert sorted(validated) == list(range(45))


def test_the_seed_decides(data):
    assert split_samples(*data, seed=1) == split_samples(*data, seed=1)
    assert split_samples(*data, seed=1).validation != split_samples(*data, seed=2).validation


@pytest.mark.parametrize("seed", range(3))
def test_near_duplicates_are_never_on_both_sides(data, seed):
    samples, prints = [list(part) for part in data]
    for i in range(0, 45, 2):  # a mirrored copy of every second image
        samples.append(sample(100 + i, LABELS[i]))
        prints.append(fingerprint(picture(i)[:, ::-1]))
    split = split_samples(samples, prints, seed=seed)
    assert not {split.groups[i] for i in split.train} & {split.groups[i] for i in split.validation}
    for copy, i in enumerate(range(0, 45, 2), start=45):
        assert split.groups[copy] == split.groups[i]
        assert (copy in split.train) == (i in split.train)


def test_known_groups_stay_together(data):
    samples, prints = list(data[0]), data[1]
    patients = {0: "benign/p", 5: "benign/p", 21: "benign/p"}
    for i, group in patients.items():
        samples[i] = FileSample(f"{i}.png", LABELS[i], group, None, ())
    for seed in range(3):
        split = split_samples(samples, prints, seed=seed)
        assert len({i in split.train for i in patients}) == 1


def test_groups_of_the_published_audit_stay_together(data, publish):
    samples = list(data[0])
    publish(picture(0), "benign", "benign (433).png", known_group="g")
    publish(picture(21), "malignant", "malignant (145).png", known_group="g")
    groups = split_samples(samples, data[1]).groups
    assert groups[0] == groups[21] and groups[1] != groups[0]


def test_a_locked_name_alone_means_nothing(data):
    samples = list(data[0])
    samples[7] = sample(7, "benign", next(iter(locked_test())))
    assert split_samples(samples, data[1]).locked == ()


def test_locked_images_are_left_out_by_hash_even_when_renamed_and_mirrored(data, monkeypatch):
    phash = str(imagehash.phash(Image.fromarray(picture(30)[:, ::-1])))
    monkeypatch.setattr(splits, "locked_test", lambda: {"normal (9).png": {"class": "normal", "phash": phash}})
    assert split_samples(*data).locked == (30,)


def test_near_duplicates_of_locked_images_are_left_out_too(data, publish):
    samples, prints = list(data[0]), list(data[1])
    samples[0] = FileSample("0.png", "benign", "benign/p", None, ())
    samples[3] = FileSample("3.png", "benign", "benign/p", None, ())
    publish(picture(3), "benign", "benign (2).png", is_locked=True)
    assert split_samples(samples, prints).locked == (0, 3)


def test_too_few_groups_are_refused(data):
    with pytest.raises(InputError, match="4 images in 4 groups are too few to split into 5 folds"):
        split_samples(data[0][:4], data[1][:4])


@pytest.mark.parametrize("fold", [-1, 5])
def test_a_fold_that_does_not_exist_is_refused(data, fold):
    with pytest.raises(InputError, match=f"fold must lie between 0 and 4, got {fold}"):
        split_samples(*data, fold=fold)


def test_groups_of_patients_and_audits_are_joined(publish):
    """Of four unlike images, 0 and 1 are one patient's, 1 and 2 are one group of the audit, 3 stands alone."""
    for i, group in enumerate("abbc"):
        publish(picture(i), "benign", f"benign ({i}).png", known_group=group)
    samples = [FileSample(f"{i}.png", "benign", group, None, ()) for i, group in enumerate("ppqr")]
    groups = splits.near_duplicate_groups(samples, [fingerprint(picture(i)) for i in range(4)]).tolist()
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_near_duplicate_groups_are_found_or_known(publish):
    looks, group = [0, 0, 1, 2, 3, 4], ["a", "b", "b", "c", "d", "e"]
    samples = [FileSample(f"{i}.png", "benign", name, None, ()) for i, name in enumerate(group)]
    audited = [FileSample(f"{i}.png", "benign", f"{i}", None, ()) for i in (6, 7, 8)]
    for seed, name in ((5, "433"), (6, "1"), (7, "433")):
        publish(picture(seed), "benign", f"benign ({seed}).png", known_group=name)
    prints = [fingerprint(picture(seed)) for seed in (*looks, 5, 6, 7)]
    numbers = splits.near_duplicate_groups(samples + audited, prints)
    assert numbers[0] == numbers[1] == numbers[2] and numbers[6] == numbers[8]
    assert len(set(numbers)) == 9 - 2 - 1


@pytest.mark.parametrize("counts", [(20, 15, 3), (20, 2, 0), (7, 0, 0)])
def test_a_class_with_fewer_images_than_folds_gets_a_note(counts, capsys, recwarn):
    labels = [name for name, n in zip(("benign", "malignant", "normal"), counts, strict=True) for _ in range(n)]
    samples, prints = (
        [sample(i, label) for i, label in enumerate(labels)],
        [fingerprint(picture(i)) for i in range(len(labels))],
    )
    validated = [i for fold in range(5) for i in split_samples(samples, prints, fold=fold).validation]
    assert sorted(validated) == list(range(len(labels))) and not len(recwarn)
    assert ("note: only" in capsys.readouterr().err) is (0 < min(n or 9 for n in counts) < 5)


def test_classes_that_are_all_smaller_than_the_folds_are_one_sentence():
    labels = ["benign"] * 4 + ["malignant"] * 4
    samples, prints = [sample(i, label) for i, label in enumerate(labels)], [fingerprint(picture(i)) for i in range(8)]
    with pytest.raises(InputError, match="4 benign, 4 malignant images are too few to split into 5 folds"):
        split_samples(samples, prints)
