"""The words people use, in English, Chinese, Japanese and Korean: names of elements, and of acts that join two."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

# Marks without width or ink that editors and web pages leave in a text. A joiner may be part of a name or an emoji, but
# for U+200D where no mark but those of English stands on either side.
_NO_INK = r"\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
_FOREIGN = rf"[^\x00-\x7f\u200d{_NO_INK}]"
INVISIBLE = re.compile(rf"[{_NO_INK}]|(?<!{_FOREIGN})\u200d(?!{_FOREIGN})")
_WITHOUT_WIDTH = re.compile(f"{INVISIBLE.pattern}|[\u200c\u200d]")

_SIMPLIFIED = "标签风画师艺术环视构图围气线灯质数动势体装饰长观词场间负说侧头镜两个边统语萝儿爷亲妈国伪击拥牵过别称仆"
_TRADITIONAL = "標籤風畫師藝術環視構圖圍氣線燈質數動勢體裝飾長觀詞場間負說側頭鏡兩個邊統語蘿兒爺親媽國偽擊擁牽過別稱僕"
_AS_TRADITIONAL = str.maketrans(_SIMPLIFIED, _TRADITIONAL)


def traditional(word: str) -> str:
    """A word of ours as it is written in Taiwan and Hong Kong: 通用标签 -> 通用標籤."""
    return word if word.isascii() else word.translate(_AS_TRADITIONAL)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split()) | frozenset(map(traditional, text.split()))


def _spelled(names: Mapping[str, str]) -> dict[str, str]:
    return dict(names) | {traditional(word): name for word, name in names.items() if traditional(word) not in names}


ROOTS = _words("""
    img image scene prompt xml characters document root answer output response xml_prompt image_prompt positive
    positive_prompt 场景 画面 提示词 正面提示词 正向提示词 シーン 画像 プロンプト 장면 프롬프트
""")
GENERAL_BLOCK = _words("general_tags general general_tag 通用标签 整体标签 通用 共通タグ 공통_태그 일반_태그 전체_태그")
LISTS = _words("""
    characters people persons subjects cast character_list char_captions main_characters side_characters
    角色列表 人物列表 キャラクター一覧
""")  # what stands over several characters, and is none of them
THOUGHTS = _words("think thought thinking thoughts reasoning scratchpad analysis 思考 思考过程")
LORA_ELEMENTS = frozenset({"lora", "loras", "lyco", "locon"})

CHARACTER_FIELDS = (
    "gender", "appearance", "clothing", "body_type", "expression", "action", "interaction", "position", "other",
)  # fmt: skip
GENERAL_FIELDS = (
    "count", "artists", "style", "background", "environment", "perspective", "atmosphere", "lighting", "quality",
    "objects", "other",
)  # fmt: skip

# Other spellings of an element -> its name. `n` is how the released weights' prompts spell the name.
_CHARACTER_SYNONYMS = {
    "n": "name", "pose": "action", "clothes": "clothing", "outfit": "clothing", "body": "body_type",
    "名字": "name", "姓名": "name", "名称": "name", "性别": "gender", "外貌": "appearance", "外观": "appearance",
    "长相": "appearance", "服装": "clothing", "衣服": "clothing", "服饰": "clothing", "体型": "body_type",
    "身材": "body_type", "表情": "expression", "动作": "action", "姿势": "action", "互动": "interaction",
    "交互": "interaction", "位置": "position", "边框": "bbox", "负面": "negative", "反向": "negative", "其他": "other",
    "其它": "other", "attire": "clothing", "apparel": "clothing", "costume": "clothing", "outfits": "clothing",
    "wearing": "clothing", "emotion": "expression", "emotions": "expression", "facial_expression": "expression",
    "sex": "gender", "placement": "position", "站位": "position", "方位": "position", "立ち位置": "position",
    "bounding_box": "bbox", "character_name": "name", "actions": "action", "gesture": "action",
    "tags": "other", "description": "other", "traits": "other",
    "poses": "action", "interactions": "interaction", "physique": "body_type",
    "名前": "name", "性別": "gender", "外見": "appearance", "容姿": "appearance", "服": "clothing", "衣装": "clothing",
    "体格": "body_type", "動作": "action", "ポーズ": "action", "その他": "other",
    "标签": "other", "タグ": "other", "prompt": "other",
    "char_caption": "other", "center": "position", "centers": "position",  # NovelAI's
    "이름": "name", "성별": "gender", "외모": "appearance", "외형": "appearance", "의상": "clothing",
    "복장": "clothing", "옷": "clothing", "체형": "body_type",
    "표정": "expression", "동작": "action", "포즈": "action", "자세": "action",
    "상호작용": "interaction", "위치": "position", "부정": "negative", "네거티브": "negative", "기타": "other",
}  # fmt: skip
_GENERAL_SYNONYMS = {
    "artist": "artists", "数量": "count", "人数": "count", "画师": "artists", "艺术家": "artists", "风格": "style",
    "画风": "style", "背景": "background", "环境": "environment", "视角": "perspective", "构图": "perspective",
    "氛围": "atmosphere", "气氛": "atmosphere", "光照": "lighting", "光线": "lighting", "灯光": "lighting",
    "质量": "quality", "画质": "quality", "物体": "objects", "物品": "objects", "其他": "other", "其它": "other",
    "描述": "caption", "说明": "caption", "互动": "interaction", "交互": "interaction", "间距": "spacing",
    "负面": "negative", "系统": "system", "mood": "atmosphere", "camera": "perspective",
    "camera_angle": "perspective", "composition": "perspective", "viewpoint": "perspective", "props": "objects",
    "location": "background", "setting": "background", "地点": "background", "場所": "background",
    "description": "caption", "natural_language": "caption", "interactions": "interaction", "自然语言": "caption",
    "スタイル": "style", "雰囲気": "atmosphere", "照明": "lighting", "ライティング": "lighting", "構図": "perspective",
    "視点": "perspective", "品質": "quality", "環境": "environment", "小物": "objects", "その他": "other",
    "キャプション": "caption", "説明": "caption", "絵師": "artists", "系統": "system", "相互作用": "interaction",
    "交流": "interaction", "やり取り": "interaction", "作画": "artists", "作者": "artists",
    "イラストレーター": "artists",
    "tags": "other", "标签": "other", "タグ": "other",
    "relationships": "interaction", "relationship": "interaction", "relations": "interaction", "关系": "interaction",
    "인원": "count", "인원수": "count", "작가": "artists", "화풍": "style", "스타일": "style", "배경": "background",
    "환경": "environment", "시점": "perspective", "구도": "perspective", "분위기": "atmosphere", "조명": "lighting",
    "품질": "quality", "소품": "objects", "물체": "objects", "기타": "other", "설명": "caption", "간격": "spacing",
    "상호작용": "interaction", "부정": "negative", "네거티브": "negative",
    "resolution": "resolution", "danbooru_tags": "danbooru_tags",  # in prompts for the released weights: as typed
}  # fmt: skip

CHARACTER_ELEMENTS = {
    **{name: name for name in (*CHARACTER_FIELDS, "name", "bbox", "negative")},
    **_spelled(_CHARACTER_SYNONYMS),
}
GENERAL_ELEMENTS = {
    **{name: name for name in (*GENERAL_FIELDS, "caption", "interaction", "spacing", "negative", "system")},
    **_spelled(_GENERAL_SYNONYMS),
}

_CHARACTER = re.compile(
    r"(?:character|char|角色|人物|キャラクター|キャラ|登場人物|캐릭터|등장인물|인물)[_\-]?([0-9]{1,9}|[一二三四五六七八九十]?)"
    r"|(?:character|char)[_\-](one|two|three|four|five|six|seven|eight|nine|ten)"
    r"|(?:person|subject|chara)[_\-]?([0-9]{1,9})",
    re.IGNORECASE,
)
# Under these names people say what a picture must not show; before them may stand whose, behind them a number.
_NEGATIVE = re.compile(
    r"(?:negatives?|negs?|undesired|unwanted|avoid|excludes?|excluded|exclusions?|without|uc)"
    r"(?:_?(?:prompts?|tags?|contents?|texts?|words?|elements?|conditioning|list|description))?|neg_?prompts?|n_prompts?"
    r"|(?:do_?not|dont|must_not|never)(?:_[a-z]+)*"
    r"|(?:负面|負面|反向|负向|負向|反面)(?:性)?(?:提示词?|提示詞?|词|詞|标签|標籤|描述|内容|要素)?|反提示词"
    r"|不要(?:的|有|出现)?(?:内容|元素|东西)?|不想要的?|避免|排除|禁止|(?:ネガティブ|ネガティヴ|ネガ)(?:プロンプト|タグ|ワード)?"
    r"|除外(?:タグ|ワード|要素)?|否定(?:プロンプト|タグ)?"
)
_NEGATIONS = frozenset({"no", "not", "omit", "forbidden", "ng"})  # alone: `scene_no` is a number
# What is said of a person and never of a picture.
PERSONAL = frozenset(CHARACTER_ELEMENTS) - frozenset(GENERAL_ELEMENTS) - {"n", "name", "tags", "traits"}
# `<main_character>`, `<subject_details>`, `<女主角>`: somebody without a number or a name.
_PERSON_ELEMENT = re.compile(
    r"(?:(?:main|side|supporting|secondary|second|first|other|another|lead|female|male)_)?"
    r"(?:character|person|subject|protagonist|deuteragonist|antagonist|hero|heroine)"
    r"(?:_(?:details?|info|information|description|design|profile|sheet))?(?:_?[0-9]{1,2})?"
    r"|[男女第]?[一二三]?[主配]角[一二三四0-9]?|[男女]主|[男女][一二]号|主人公|ヒロイン|ヒーロー"
)
# `<inset_panel>`, `<panel_2>`, `<左格>`: a picture within the picture.
_PANEL = re.compile(
    r"(?:[a-z]+_){0,3}(?:panel|inset|koma|vignette|sub_?picture|sub_?image)(?:_[a-z0-9]+){0,3}"
    r"|.{0,4}(?:分镜|分格|画格|小窗|子画面|插入画面|コマ|パネル|差し込み).{0,4}|第.{1,2}格"
)
_NUMBERS = "one two three four five six seven eight nine ten"
NUMBER_WORDS = {
    word: str(i) for words in ("一二三四五六七八九十", _NUMBERS.split()) for i, word in enumerate(words, start=1)
}

UNSTATED = "unstated"  # a gender that nobody has said

# What two people do with each other's bodies; a character that names one means the other one too.
_JOINT = {
    "handshake": "handshake, shaking_hands, shake_hands, shakes_hands, hand_shake, 握手, 握手する, 악수",
    "hug": "hug, hugs, hugging, embrace, embraces, embracing, 拥抱, 抱在一起, 抱き合う, 抱き合って, 抱きしめる, "
    "ハグ, ハグする, 포옹",
    "holding_hands": "holding_hands, hold_hands, holds_hands, hand_in_hand, 牵手, 手牵手, 拉手, 手をつなぐ, 手を繋ぐ, "
    "手をつないで, 手を繋いで, 손잡기",
    "kiss": "kiss, kisses, kissing, 接吻, 亲吻, キス, キスする, 키스",
    "high_five": "high_five, high_fives, high_fiving, 击掌, ハイタッチ, 하이파이브",
    "carrying": "carrying, carries, carrying_person, princess_carry, piggyback, 抱起, 公主抱, 背着, お姫様抱っこ, "
    "おんぶ",
    "back-to-back": "back_to_back, 背靠背, 背中合わせ",
}
JOINT_INTERACTIONS = _spelled({word: kind for kind, words in _JOINT.items() for word in words.split(", ")})
# Chinese, Japanese and Korean have no spaces to find them by: 与凯特握手. The longest first.
_ACTS_IN_SIGNS = sorted((word for word in JOINT_INTERACTIONS if not word.isascii()), key=len, reverse=True)


# https://www.w3.org/TR/xml/#NT-NameStartChar without the colon (prompts have no namespaces), and without the marks
# that Chinese writes beside words: 、。「」 and the full-width forms.
_HALF_WIDTH = str.maketrans("０１２３４５６７８９", "0123456789")  # XML's names may hold either
_START = (
    "A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d\u2070-\u218f\u2c00-\u2fef"
    "\u3005-\u3007\u3021-\u302f\u3031-\u3035\u3038-\ud7ff\uf900-\ufdcf\ufdf0-\ufeff\U00010000-\U000effff"
)
NAME = rf"[{_START}][{_START}0-9０-９.\-\u00b7]*+"  # of an element or attribute
MAX_NAME = 64
_WHOLE_NAME = re.compile(NAME)


def is_field_name(name: str, known: Mapping[str, str]) -> bool:
    """Whether an element of this name is read as a field of this name, where `known` elements may stand."""
    key = name.lower()
    frame = key in GENERAL_BLOCK | LORA_ELEMENTS | THOUGHTS or (key in ROOTS and known is GENERAL_ELEMENTS)
    taken = frame or (is_negative(key) and key not in known) or character_id(name) is not None
    return is_name(name) and not taken and known.get(key, name) == name


def is_name(name: str) -> bool:
    return len(name) <= MAX_NAME and _WHOLE_NAME.fullmatch(name) is not None


_GAPS = re.compile(r"[\s_\-]+")


def word_key(word: str) -> str:
    """How words are compared: lower and half-width, an underscore for every run of spaces, hyphens and underscores."""
    if not word.isascii():
        word = _WITHOUT_WIDTH.sub("", unicodedata.normalize("NFKC", word))
    return _GAPS.sub("_", word.strip().lower()).strip("_")


def character_id(name: str) -> str | None:
    """`Character1`, `char-1`, `角色一` -> `character_1`; no number -> `character_`; any other name -> None."""
    match = _CHARACTER.fullmatch(name if name.isascii() else name.translate(_HALF_WIDTH))
    if match is None:
        return None
    number = next(filter(None, match.groups()), "").lower()
    if number and number not in NUMBER_WORDS:
        number = number.lstrip("0") or "0"
    return f"character_{NUMBER_WORDS.get(number, number)}"


def is_element(name: str, frames: bool = True) -> bool:
    """Whether an element of this name means something; frames: those that stand around others count too."""
    if name in ROOTS:
        return frames
    known = name in CHARACTER_ELEMENTS or name in GENERAL_ELEMENTS or name in GENERAL_BLOCK
    return known or name.lower() in LORA_ELEMENTS or character_id(name) is not None


def is_negative(name: str) -> bool:
    """`negative_prompt`, `uc`, `undesired content`, `character_1_negative`, `反向提示词`, `ネガティブ` ..."""
    if CHARACTER_ELEMENTS.get(name) == "negative":
        return True
    parts = re.sub(r"_?[0-9]+$", "", word_key(name)).split("_")
    if "_".join(parts) in _NEGATIONS:
        return True
    return any(_NEGATIVE.fullmatch("_".join(parts[first:])) for first in range(min(len(parts), 4)))


def panel_place(name: str) -> str:
    """What an element's name says about where it is: `<top_right_panel>` top_right."""
    words = (word for word in word_key(name).split("_") if not word.isdigit())
    return "_".join(word for word in words if word in ("top", "bottom", "left", "right", "center", "upper", "lower"))


def is_person(name: str) -> bool:
    """Whether an element's name means a person without saying who: `main_character`, `subject`, `女主角`."""
    return _PERSON_ELEMENT.fullmatch(name.lower().replace("-", "_")) is not None


def speaks_of_person(names: Iterable[str]) -> bool:
    """Whether elements of these names together can only describe a character."""
    named = set(map(word_key, names))
    of_picture = (name for name in named if name in GENERAL_ELEMENTS and name not in CHARACTER_ELEMENTS)
    return bool(named & PERSONAL) and not any(of_picture)


def is_panel(name: str) -> bool:
    return _PANEL.fullmatch(word_key(name)) is not None


def nearest(name: str, known: Iterable[str], cutoff: float = 0.7) -> str:
    """The known name most like this one, or an empty string."""
    return next(iter(get_close_matches(name.lower()[:64], list(known), 1, cutoff)), "")


def joint_interaction(text: str) -> str | None:
    """The joint interaction that a character's own words name ("handshake with miku"), or None."""
    key = word_key(text)
    if key in JOINT_INTERACTIONS:
        return JOINT_INTERACTIONS[key]
    parts = key.split("_")
    starts = ("_".join(parts[:size]) for size in range(min(len(parts), 3), 0, -1))
    return next((JOINT_INTERACTIONS[start] for start in starts if start in JOINT_INTERACTIONS), None)


def joint_interaction_in(text: str) -> str | None:
    """The same, wherever in Chinese, Japanese or Korean words it stands: 与凯特握手."""
    key = word_key(text)
    signs = (JOINT_INTERACTIONS[word] for word in _ACTS_IN_SIGNS if word in key)
    return joint_interaction(text) or (None if key.isascii() else next(signs, None))


# Genders: `1girl`, `young man`, `schoolboy`, `女性角色`, `女の子`

# What a text is searched for, in any language: words that mean a person of this gender wherever they stand.
_NAMING = {
    "girl": "girl girls woman women female lady she 女 女孩 女性 女生 女人 少女 女子 女孩子 女士 女の子 女のこ",
    "boy": "boy boys man men male guy he 男 男孩 男性 男生 男人 少年 男子 男孩子 男士 男の子 男のこ",
}
# Other words for a person, where a whole text is one.
_PERSON = {
    "girl": """
        females ladies gal gals lass maiden schoolgirl tomboy loli milf gyaru bishoujo
        姑娘 妹子 御姐 萝莉 女主 美少女 乙女 여자 소녀 여성 여자아이
    """,
    "boy": """
        males guys gentleman gentlemen dude lad schoolboy femboy shota bishounen
        小伙 小伙子 正太 大叔 男主 帅哥 青年 美少年 남자 소년 남성 남자아이
    """,
    "other": "other others androgynous nonbinary non_binary genderless agender 其他 无性 中性 无性别",
}
# What says a gender in a gender field, and may be anything elsewhere: `1girl, witch` is one person.
_ROLES = {
    "girl": """
        onee-san heroine actress waitress mother mom mum daughter sister aunt grandmother
        grandma wife bride girlfriend princess queen goddess priestess
        witch empress duchess mermaid nun
        小姐 妹妹 姐姐 妈妈 母亲 女儿 奶奶 阿姨 妻子 人妻 新娘 公主 女王 皇后 女神 巫女 女巫 女仆
        お姉さん お嬢様 お嬢さん 娘 おばさん おばあさん 姫 おんなのこ ガール ロリ 彼女 ♀
    """,
    "boy": """
        男娘 伪娘 偽娘 otoko_no_ko onii-san hero actor waiter
        father dad son brother uncle grandfather grandpa husband groom boyfriend prince king god priest wizard emperor
        duke monk
        哥哥 弟弟 爸爸 父亲 儿子 爷爷 叔叔 丈夫 新郎 王子 国王 男仆
        お兄さん おじさん おじいさん おとこのこ ボーイ ショタ 男の娘 彼 ♂
    """,
    "other": """
        intersex futanari futa they them enby 其它 双性 扶她 性別不明 その他 中性的
    """,
}
_LETTERS = {"f": "girl", "m": "boy", "nb": "other"}  # in a gender field alone
_COMPOUND = re.compile(
    r"(?:bunny|cat|cow|demon|dog|dragon|fox|horse|kemono|magical|mer|mouse|pony|rabbit|school|sheep|snow|super|tiger|"
    r"wolf|police|business|sales|sports|swords|fire|fisher|cow|chair|camera|fair)"
    r"_?(girl|boy|woman|man|women|men|maid)s?"
)


def _table(named: dict[str, str]) -> dict[str, str]:
    return _spelled({word_key(word): gender for gender, words in named.items() for word in words.split()})


_NAMED_BY = _table(_NAMING)
GENDER_WORDS = _table(_PERSON) | _NAMED_BY
_ANY_WORDS = _table(_ROLES) | GENDER_WORDS
_COUNT = re.compile(
    r"[0-9]{1,2}\+?_?|[一二两兩三四五六七八九十]?[个個名位](?=.)|[一二两兩三四五六七八九十](?=.)|[0-9一二三四五六]人の"
)
_COUNT_WORDS = "a an the one two three four five six single another this that"
_COUNTED = frozenset(_COUNT_WORDS.split())
# Behind one of these a word is not who somebody is: `picture of a girl`, `no boys`, `boy's shirt`.
_ABOUT_WORDS = "of on in with at to no not without for from vs versus and or by like as than looking s"
_ABOUT = frozenset(_ABOUT_WORDS.split())
_LIKE = re.compile("_(?:(?:with|who|that|in_an?|in_the|dressed_in)_.+|[a-z]{3,}ing(?:_.+)?)$")  # what a person is like
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
    if not word.isascii() or word.rstrip().endswith((")", "]")):  # seldom
        key = _ROLE.sub("", word_key(_ASIDE.sub("", word))) or key
    rest = _COUNT.sub("", key, count=1) if _COUNT.match(key) else key
    found = GENDER_WORDS.get(key) or GENDER_WORDS.get(rest)
    if found or not rest.isascii():
        return found
    *before, last = rest.split("_")
    if len(before) <= _MOST_WORDS and _ABOUT.isdisjoint(before) and not any("'" in part for part in before):
        named = GENDER_WORDS.get(last) or _compound(last) or (_compound(f"{before[-1]}_{last}") if before else None)
        if named and (named != "other" or _COUNTED.issuperset(before)):  # not "the others", "some other"
            return named
    head = _LIKE.sub("", rest)
    return gender_of(head) if head != rest else None


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
