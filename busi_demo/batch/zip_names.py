"""Names in zip archives that are neither ASCII nor marked as UTF-8.

The format knows no code page: Windows writes names in that of the computer, and zipfile reads all as cp437. The names
of an archive were written by one program, so one encoding is chosen for all of them: UTF-8 if they are valid UTF-8,
else the one in which they are written in the letters of one script, used as that script is used.
"""

from __future__ import annotations

import re
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence

_UTF_8 = 0x800  # of a member's flags
_UNICODE_PATH = 0x7075  # an extra field, APPNOTE 4.6.9
_USUAL, _RARE, _WRONG = 0.8, 0.3, 0.0
_PLAUSIBLE = 0.6
_NAMES, _LENGTH = 100, 100  # names of an archive, and characters of each, whose letters are looked at
_BESIDE_A_LETTER = re.compile(  # one sign alone: more likely a letter with an accent and the letter after it
    r"[A-Za-z][^\x00-\x7f](?![^\x00-\x7f])|(?<![^\x00-\x7f])[^\x00-\x7f][A-Za-z]"
)


def true_names(members: Iterable[zipfile.ZipInfo]) -> dict[int, str]:
    """Names of members as they were written, where these differ from `filename`: id of the member -> name."""
    names: dict[int, str] = {}
    unknown: list[tuple[zipfile.ZipInfo, bytes]] = []
    for member in members:
        if member.flag_bits & _UTF_8 or member.orig_filename.isascii():
            continue
        try:
            raw = member.filename.encode("cp437")
        except UnicodeEncodeError:
            continue
        if stored := _unicode_path(member, raw):
            names[id(member)] = stored
        else:
            unknown.append((member, raw))
    encoding = choose_encoding([raw for _, raw in unknown])
    return names | {id(member): raw.decode(encoding) for member, raw in unknown}


def choose_encoding(names: Sequence[bytes]) -> str:
    """The most plausible encoding of these names; cp437 where none is plausible. All names are valid in it; how
    plausible it is, a part of some of them tells."""
    for encoding in ("ascii", "utf-8"):
        if _decoded(names, encoding):
            return encoding
    scores = {
        encoding: sum(map(score, texts)) / len(texts)
        for encoding, score in _SCORES.items()
        if (texts := [_telling(text) for text in _decoded(names, encoding)[:: len(names) // _NAMES + 1]])
    }
    best = max(scores, key=scores.__getitem__, default="cp437")
    return best if scores.get(best, 0) >= _PLAUSIBLE else "cp437"


def _decoded(names: Sequence[bytes], encoding: str) -> list[str]:
    """Those that are not ASCII, or empty texts where that is none; an empty list where one cannot be decoded."""
    try:
        return [raw.decode(encoding) for raw in names]
    except UnicodeDecodeError:
        return []


def _telling(text: str) -> str:
    """The first part of a path that is not ASCII, and some of what follows; long beginnings of it are left out."""
    first = next((place for place, character in enumerate(text) if not character.isascii()), 0)
    start = max(text.rfind("/", 0, first) + 1, first - _LENGTH // 2)
    return text[start : start + _LENGTH]


def _unicode_path(member: zipfile.ZipInfo, raw: bytes) -> str | None:
    extra = member.extra
    while len(extra) >= 4:
        kind, size = (int.from_bytes(extra[i : i + 2], "little") for i in (0, 2))
        body = extra[4 : 4 + size]
        if kind == _UNICODE_PATH and body[:1] == b"\1" and body[1:5] == zlib.crc32(raw).to_bytes(4, "little"):
            return body[5:].decode("utf-8", "replace").replace("\\", "/")
        extra = extra[4 + size :]
    return None


def _mean(text: str, weight: Callable[[str], float]) -> float:
    """Mean weight of the characters that are not ASCII; 1 without any."""
    weights = [weight(character) for character in text if not character.isascii()]
    return sum(weights) / len(weights) if weights else 1.0


def _east_asian(encoding: str, leads: range, trails: range, frequent: str = "") -> Callable[[str], float]:
    """Score of a text in a double-byte encoding: its usual characters stand in known rows of the code.

    Args:
        encoding: its name for Python.
        leads, trails: first and second bytes of the usual characters.
        frequent: the most frequent ones, where two encodings put usual characters at the same place.
    """

    def weight(character: str) -> float:
        code, name = character.encode(encoding), unicodedata.name(character, "")
        if name.startswith(("CJK UNIFIED", "HANGUL SYLLABLE")):
            usual = len(code) == 2 and code[0] in leads and code[1] in trails
            return 1.0 if usual and (not frequent or character in frequent) else _USUAL if usual else _RARE
        if encoding == "cp932" and name.startswith(("HIRAGANA", "KATAKANA")):
            return 1.0
        return 0.6 if len(code) == 2 and ("FULLWIDTH" in name or unicodedata.category(character)[0] == "P") else _WRONG

    def score(text: str) -> float:
        return _mean(text, weight) * (0.7 if _BESIDE_A_LETTER.search(text) else 1.0)

    return score


def _letters(script: str, plain: str = "", rare: str = "") -> Callable[[str], float]:
    """Score of a text in an alphabet: letters of one script, in words with capitals at their start or throughout.

    Args:
        script: the first word of the names of its letters in Unicode.
        plain: signs that occur beside them.
        rare: letters of low frequency, in lower case.
    """

    def weight(character: str) -> float:
        if unicodedata.name(character, "").startswith(script) and character.isalpha():
            return 0.5 if character.lower() in rare else 1.0
        return 0.5 if character in plain else _WRONG

    def score(text: str) -> float:
        words = [word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()]
        foreign = sum(any(c.isascii() for c in word) for word in words)
        return _mean(text, weight) - _mixed(text) - foreign / max(len(words), 1) / 2

    return score


def _latin(*alphabets: tuple[str, str]) -> Callable[[str], float]:
    """Score of a European text: the letters of one language, and those with accents few among plain ones.

    Args:
        alphabets: of each language its frequent letters beyond a to z, and the rare ones, in lower case.
    """

    def weight(frequent: str, rare: str) -> Callable[[str], float]:
        def of(character: str) -> float:
            lower = character.lower()
            if character in "°²³ºª":
                return 0.5
            return 1.0 if lower in frequent or character in frequent else 0.85 if lower in rare else 0.0

        return of

    weights = [weight(*letters) for letters in alphabets]

    def score(text: str) -> float:
        plain = sum(c.isascii() and c.isalpha() for c in text)
        accented = sum(not c.isascii() for c in text)
        best = max(_mean(text, of) for of in weights) - _mixed(text)
        return (0.95 if 2 * plain >= accented else 0.3) * best

    return score


def _mixed(text: str) -> float:
    """Half the share of the words that are not ASCII which have capitals beyond their first letter and are not capitals
    throughout."""
    words = [word for word in re.findall(r"[^\W\d_]+", text) if not word.isascii()]
    mixed = sum(not word.isupper() and any(c.isupper() for c in word[1:]) for word in words)
    return mixed / max(len(words), 1) / 2


_HANZI = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学"
    "如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两"
    "高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员"
    "解水名真论处走义各入几口认条平系气题活更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指统区保至队形社"
    "便空决治展科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边张该交规万取望觉术领共确传师观清今切院让识候"
    "带导争运乳腺左右侧良恶瘤肿病患查检超图节例号"
)
_HANGUL = (
    "이다의는에가을고사지하로대한자기은도를시인정어스리수라서아부조일전상구나장해보제국무주공유그원관비들만계여성신연으교안방과치오학생중선분"
    "거영행동세경소위개당문요진화물재체마바우산내명회출음결양실모용차통두말속식간터반단역발심검초파환악종좌측"
)
_WEST = _latin(
    ("äöüß", "éà"),
    ("éèàç", "êâôîïëûùœ"),
    ("áéíóñ", "úü¿¡"),
    ("ãáçéíó", "õâêôúàü"),
    ("àèìòù", "éî"),
    ("åäö", "éü"),
    ("åæø", "éöü"),
    ("áéíóöú", "æðþý"),
)
_CENTRAL = _latin(
    ("ąćęłńóśżź", ""),
    ("áčěéířšýžúů", "ďňóťöü"),
    ("áčíéýšžľ", "ťúôňďäóĺŕ"),
    ("áéíóöőü", "úű"),
    ("ăâîșțşţ", ""),
    ("čćđšž", ""),
)
_TURKISH = _latin(("çğıİöşü", "âîû"))  # the lower case of İ is two characters
_BALTIC = _latin(("āčēīņšūž", "ģķļōŗ"), ("ąčęėįšųūž", ""), ("äõöü", "šž"))
_RUSSIAN = _letters("CYRILLIC", "№", rare="йхжшюцщэфъёђѓєіїјљњћќўџґ")
_GREEK = _letters("GREEK", rare="ξψζβφθϊϋΐΰύώ")

# The first levels of GB 2312, KS X 1001, JIS X 0208 and Big5. Among equals, the first encoding is chosen.
_SCORES: dict[str, Callable[[str], float]] = {
    "gb18030": _east_asian("gb18030", range(0xB0, 0xD8), range(0xA1, 0xFF), _HANZI),
    "cp932": _east_asian("cp932", range(0x88, 0x99), range(0x40, 0xFD)),
    "cp949": _east_asian("cp949", range(0xB0, 0xC9), range(0xA1, 0xFF), _HANGUL),
    "big5": _east_asian("big5", range(0xA4, 0xC7), range(0x40, 0xFF)),
    "cp866": _RUSSIAN,
    "cp1251": _RUSSIAN,
    "cp862": _letters("HEBREW"),
    "cp1255": _letters("HEBREW"),
    "koi8_r": _RUSSIAN,
    "cp437": _WEST,
    "cp850": _WEST,
    "cp1252": _WEST,
    "cp852": _CENTRAL,
    "cp1250": _CENTRAL,
    "cp857": _TURKISH,
    "cp1254": _TURKISH,
    "cp775": _BALTIC,
    "cp1257": _BALTIC,
    "cp860": _WEST,
    "mac_roman": _WEST,
    "cp737": _GREEK,
    "cp1253": _GREEK,
    "cp1256": _letters("ARABIC", rare="ژپچگ"),
    "cp874": _letters("THAI"),
}
