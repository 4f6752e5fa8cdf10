"""Words that say a gender: `1girl`, `young man`, `schoolboy`, `女性角色`, `女の子`."""

from __future__ import annotations

import re

from .words import word_key

# What a text is searched for, in any language: words that mean a person of this gender wherever they stand.
_NAMING = {
    "girl": "girl girls woman women female lady she 女 女孩 女性 女生 女人 少女 女子 女孩子 女士 女の子 女のこ",
    "boy": "boy boys man men male guy he 男 男孩 男性 男生 男人 少年 男子 男孩子 男士 男の子 男のこ",
}
# Other words for a person, where a whole text is one.
_PERSON = {
    "girl": """
        females ladies gal gals lass maiden schoolgirl tomboy loli milf gyaru bishoujo
        姑娘 妹子 美少女 乙女 여자 소녀 여성
    """,
    "boy": """
        males guys gentleman gentlemen dude lad schoolboy femboy shota bishounen
        小伙 小伙子 帅哥 青年 美少年 남자 소년 남성
    """,
    "other": "other others androgynous nonbinary non_binary genderless agender 其他 无性 中性 无性别",
}
# What says a gender in a gender field, and may be anything elsewhere: `1girl, witch` is one person.
_ROLES = {
    "girl": """
        onee-san heroine actress waitress mother mom mum daughter sister aunt grandmother
        grandma wife bride girlfriend princess queen goddess priestess
        witch empress duchess mermaid nun
        小姐 御姐 萝莉 妹妹 姐姐 妈妈 母亲 女儿 奶奶 阿姨 妻子 新娘 公主 女王 皇后 女神 巫女 女巫 女仆
        お姉さん お嬢様 お嬢さん 娘 おばさん おばあさん 姫 おんなのこ ガール ロリ 彼女 ♀
    """,
    "boy": """
        otoko_no_ko onii-san hero actor waiter
        father dad son brother uncle grandfather grandpa husband groom boyfriend prince king god priest wizard emperor
        duke monk
        大叔 正太 哥哥 弟弟 爸爸 父亲 儿子 爷爷 叔叔 丈夫 新郎 王子 国王 男仆
        お兄さん おじさん おじいさん おとこのこ ボーイ ショタ 男の娘 彼 ♂
    """,
    "other": """
        intersex futanari futa they them enby 其它 双性 扶她 性別不明 その他 中性的
    """,
}
_LETTERS = {"f": "girl", "m": "boy", "nb": "other"}  # in a gender field alone
_COMPOUND = re.compile(
    r"(?:bunny|cat|cow|demon|dog|dragon|fox|horse|kemono|magical|mer|mouse|pony|rabbit|school|sheep|snow|super|tiger|"
    r"wolf)"
    r"_?(girl|boy|woman|man|women|men|maid)s?"
)


def _table(named: dict[str, str]) -> dict[str, str]:
    return {word_key(word): gender for gender, words in named.items() for word in words.split()}


_NAMED_BY = _table(_NAMING)
GENDER_WORDS = _table(_PERSON) | _NAMED_BY
_ANY_WORDS = _table(_ROLES) | GENDER_WORDS
_COUNT = re.compile(
    r"[0-9]{1,2}\+?_?|[一二两三四五六七八九十]?[个名位](?=.)|[一二两三四五六七八九十](?=.)|[0-9一二三四五六]人の"
)
_COUNT_WORDS = "a an the one two three four five six single another this that"
_COUNTED = frozenset(_COUNT_WORDS.split())
# Behind one of these a word is not who somebody is: `picture of a girl`, `no boys`, `boy's shirt`.
_ABOUT_WORDS = "of on in with at to no not without for from vs versus and or by like as than looking s"
_ABOUT = frozenset(_ABOUT_WORDS.split())
_MOST_WORDS = 5
_ASIDE = re.compile(r"\s*[(（\[【].*?[)）\]】]\s*$")
_ROLE = re.compile(r"(?:角色|人物|主角|キャラクター|キャラ)$")
_SPLIT = re.compile(r"[,，、;；/／|&+()（）\[\]【】\s_]+")
_SIGNS = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_SIGN_WORDS = sorted((word for word in _ANY_WORDS if _SIGNS.search(word)), key=len, reverse=True)


def gender_of(word: str) -> str | None:
    """`1girl`, `2boys`, `a young woman`, `girl (adult)`, `一个女孩` -> girl, boy or other; None for any other words."""
    key = word_key(word)
    if key in GENDER_WORDS:
        return GENDER_WORDS[key]
    key = _ROLE.sub("", word_key(_ASIDE.sub("", word))) or key
    rest = _COUNT.sub("", key, count=1) if _COUNT.match(key) else key
    found = GENDER_WORDS.get(key) or GENDER_WORDS.get(rest)
    if found or not rest.isascii():
        return found
    *before, last = rest.split("_")
    if len(before) > _MOST_WORDS or not _ABOUT.isdisjoint(before) or any("'" in part for part in before):
        return None
    named = GENDER_WORDS.get(last) or _compound(last) or (_compound(f"{before[-1]}_{last}") if before else None)
    if named == "other" and not _COUNTED.issuperset(before):
        return None  # "the others", "some other"
    return named


def _compound(word: str) -> str | None:
    match = _COMPOUND.fullmatch(word)
    return {"maid": "girl", "women": "girl", "men": "boy"}.get(match[1]) or GENDER_WORDS[match[1]] if match else None


def genders_in(text: str) -> tuple[str, ...]:
    """Every gender that a gender field's words name, in order: `male_focus` boy, `Girl / Female` girl."""
    found = [gender_of(text) or _ANY_WORDS.get(word_key(text))]
    for word in () if found[0] else filter(None, _SPLIT.split(text)):
        lower = word.lower().strip(".:!?\"'#0123456789")
        key = word_key(lower)
        signs = [sign for sign in _SIGN_WORDS if sign in lower] if _SIGNS.search(lower) else []
        named = gender_of(word) or gender_of(lower) or _ANY_WORDS.get(key) or _LETTERS.get(key)
        found.append(named or (_ANY_WORDS[signs[0]] if signs else None))
    return tuple(dict.fromkeys(filter(None, found)))


_LATIN = "|".join(sorted(filter(str.isascii, _NAMED_BY), key=len, reverse=True))
_MORE_SIGNS = "|".join(sorted((w for w in _NAMED_BY if not w.isascii() and len(w) > 1), key=len, reverse=True))
_ONE_SIGN = "|".join(w for w in _NAMED_BY if not w.isascii() and len(w) == 1)  # alone: 女 is part of many other words
_LINE = r"(?<=(?<!\\)\\[nrt])"  # the template writes a new line as two letters
_NAMED = re.compile(
    rf"(?:(?<![A-Za-z])|{_LINE})(?:{_LATIN})(?![A-Za-z])|{_MORE_SIGNS}"
    rf"|(?<![\u3040-\u30ff\u4e00-\u9fff])(?:{_ONE_SIGN})(?![\u3040-\u30ff\u4e00-\u9fff])",
    re.IGNORECASE,
)


def gender_spans(text: str) -> tuple[tuple[int, int, str], ...]:
    """(start, end, girl or boy) of every word of text that names a gender, in order."""
    return tuple((*match.span(), _NAMED_BY[match.group().lower()]) for match in _NAMED.finditer(text))
