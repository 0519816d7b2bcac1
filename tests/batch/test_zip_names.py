from __future__ import annotations

import time
import zipfile
import zlib

import numpy as np
import pytest

from busi_demo.batch.files import Limits, in_archive
from busi_demo.batch.zip_names import choose_encoding

NAMES = {
    "gbk": ["乳腺.png", "良性_1.png", "超声检查结果/患者一.png", "恶性肿瘤", "右侧乳腺 3点"],
    "cp932": ["乳腺.png", "患者\uff11.png", "エコー画像.png", "腫瘤", "検査結果.png", "乳がん"],
    "cp949": ["유방.png", "양성_1.png", "초음파 영상", "악성 종양"],
    "big5": ["乳房超音波.png", "良性_1.png", "惡性腫瘤"],
    "cp866": ["снимок.png", "Пациент_1.png", "УЗИ молочной железы.png", "УЗИ"],
    "cp1251": ["снимок.png", "Пациент_1.png", "доброкачественная"],
    "koi8_r": ["снимок.png", "Пациент_1.png", "доброкачественная"],
    "cp437": ["tumeur bénigne.png", "Müller_1.png", "señal.png", "ÄRZTIN.png", "tumor año 2.png"],
    "cp850": ["nódulo São João.png", "lesão_1.png", "bryst højre.png"],
    "cp1252": ["Müller_1.png", "gutartige Veränderung.png", "façade.png", "lesão_1.png", "bröst vänster.png"],
    "cp852": ["guz łagodny.png", "pierś.png", "Żółć.png", "Dvořák.png", "vyšetření.png", "emlő.png", "sân drept.png"],
    "cp1250": ["guz łagodny.png", "pierś.png", "zmiana złośliwa.png", "žena_č1.png", "nő_1.png", "dobroćudni čvor.png"],
    "cp857": ["göğüs.png", "iyi huylu tümör.png"],
    "cp1254": ["göğüs.png", "hasta_ışık.png"],
    "cp775": ["krūts.png", "navikas gėrybinis.png"],
    "cp1257": ["krūts.png", "navikas gėrybinis.png"],
    "cp737": ["καρκίνος.png", "μαστός 1.png"],
    "cp862": ["תמונה 1.png"],
    "cp1255": ["תמונה 1.png", "שד ימין.png"],
    "utf-8": ["乳腺.png", "снимок.png", "é.png"],
}


@pytest.mark.parametrize(("encoding", "name"), [(encoding, name) for encoding in NAMES for name in NAMES[encoding]])
def test_the_encoding_of_one_name(encoding, name):
    raw = name.encode(encoding)
    assert raw.decode(choose_encoding([raw])) == name


@pytest.mark.parametrize("encoding", NAMES)
def test_the_encoding_of_the_names_of_an_archive(encoding):
    raw = [name.encode(encoding) for name in [*NAMES[encoding], "plain.png"]]
    chosen = choose_encoding(raw)
    assert [one.decode(chosen) for one in raw] == [*NAMES[encoding], "plain.png"]


def test_long_names_take_no_longer_than_short_ones():
    """150 names as long as an archive allows, in letters of every kind: the work is that for a sample of them."""
    generator = np.random.default_rng(0)
    names = [generator.integers(0xA1, 0xFF, 2**16 - 1, np.uint8).tobytes() for _ in range(150)]
    start = time.process_time()
    choose_encoding(names)
    assert time.process_time() - start < 10


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "cp866", "gbk"])
def test_long_folders_without_such_letters_tell_nothing(encoding):
    folder = "Hospital export 2023/Department of radiology/breast ultrasound of the second quarter/station 4/"
    names = [folder + name for name in NAMES[encoding]]
    raw = [name.encode(encoding) for name in names]
    assert [one.decode(choose_encoding(raw)) for one in raw] == names


def test_every_name_is_valid_in_the_encoding_that_is_chosen():
    names = [name.encode("gbk") for name in NAMES["gbk"]] * 60 + [b"\xff\xff"]
    for order in (names, names[::-1], [*names[:7], names[-1], *names[7:-1]]):
        chosen = choose_encoding(order)
        assert [name.decode(chosen) for name in order]


def test_plain_names_need_no_choice():
    assert choose_encoding([b"a.png"]) == "ascii" and choose_encoding([]) == "cp437"


@pytest.mark.parametrize("encoding", ["gbk", "cp932", "cp866", "utf-8"])
def test_members_are_named_and_unpacked(tmp_path, encoding):
    name = NAMES[encoding][0]
    stand_in = "x" * (len(name.encode(encoding)) - 4) + ".png"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(stand_in, b"content")
    path = tmp_path / "a.zip"
    path.write_bytes(path.read_bytes().replace(stand_in.encode(), name.encode(encoding)))
    (candidate,) = in_archive(path, Limits()).candidates
    assert str(candidate.name) == name
    with candidate.file.on_disk() as unpacked:
        assert unpacked.read_bytes() == b"content"


def test_the_unicode_path_of_a_member(tmp_path):
    member = zipfile.ZipInfo("xx.png")
    true, raw = "乳.png".encode(), "乳.png".encode("gbk")
    body = b"\1" + zlib.crc32(raw).to_bytes(4, "little") + true
    member.extra = (0x7075).to_bytes(2, "little") + len(body).to_bytes(2, "little") + body
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, b"content")
    path.write_bytes(path.read_bytes().replace(b"xx.png", raw))
    (candidate,) = in_archive(path, Limits()).candidates
    assert str(candidate.name) == "乳.png"
