"""Which field a plain tag belongs to: tables of words, and the order they are asked in. English, Chinese, Japanese."""

from __future__ import annotations

import re

from ..layout.places import read_position
from ..tags import emoticon_at
from ..words import LISTS, gender_of, word_key

# English: the tag is one of these, or its last word is (a leading * : any word of it).  Chinese: it is in the tag.
_EXPRESSION = """
    smile *smiling grin *blush *blushing angry sad crying tears happy *laughing frown frowning surprised wink pout
    serious expressionless scared embarrassed smirk tired sleepy shy open_mouth closed_mouth closed_eyes
    half_closed_eyes one_eye_closed tongue_out teeth crying_with_eyes_open light_smile expression
    微笑 笑 哭 脸红 生气 愤怒 难过 伤心 悲伤 开心 高兴 惊讶 害羞 皱眉 张嘴 闭眼 流泪 严肃 表情 眨眼 吐舌
    笑顔 笑い 微笑み 泣き 怒り 赤面 照れ ウインク 無表情 驚き 目を閉じ
"""
_CLOTHING = """
    dress skirt shirt t-shirt jacket coat uniform hat cap hoodie sweater shoes boots socks gloves scarf tie necktie
    bowtie ribbon hairband hairclip glasses sunglasses swimsuit bikini kimono yukata pants jeans shorts thighhighs
    pantyhose cape cloak armor apron belt serafuku suit vest blouse sandals sneakers crown earrings earring necklace
    choker mask goggles headphones leggings stockings bow clothes outfit robe gown hakama beret headband sleeves
    barefoot
    裙 衣 服 装 裝 裤 帽 鞋 靴 袜 手套 围巾 领带 领结 眼镜 墨镜 外套 衬衫 T恤 铠甲 盔甲 披风 斗篷 丝带 蝴蝶结 耳机
    项链 耳环 皇冠 口罩 面具 发夹 发带 围裙 旗袍
    制服 スカート ドレス シャツ ワンピース ズボン 帽子 眼鏡 メガネ リボン マフラー 手袋 靴 ブーツ コート セーター
    着物 浴衣 スーツ パーカー エプロン ネクタイ マント 鎧 水着 ジャケット
"""
_APPEARANCE = """
    hair *haired eyes *eyed eye twintails twin_tails ponytail braid braids bangs bun buns ahoge skin ears tail wings
    horns halo freckles heterochromia beard mustache sidelocks fang fangs tan blonde blond redhead brunette bob_cut
    pigtails eyebrows eyelashes mole scar tattoo makeup lips
    发 眼 瞳 马尾 辫 刘海 耳 尾巴 翅膀 犄角 皮肤 胡子 雀斑 痣 伤疤 纹身
    髪 目 ツインテール ポニーテール 三つ編み 前髪 耳 尻尾 翼 角 肌 ひげ ショートカット ボブ ロング
"""
_BODY = """
    tall petite slim chubby muscular curvy skinny thin fat plump short_stature body_type
    高个 矮 苗条 身材 肌肉 娇小 丰满 瘦 胖 体型 背が高い 背が低い 小柄 長身
"""
_ACTION = """
    *facing arms_up arms_crossed crossed_arms hand_up hands_up hand_on_hip hands_on_hips peace_sign salute v all_fours
    pose handshake hug kiss high_five back-to-back facing_left facing_right hand_in_hand
    站 坐 跑 走 跳 躺 跪 舞 唱 挥手 拿 看 读 吃 喝 睡 游泳 指着 靠着 蹲 举 抱 面向 面朝 握手 牵手 拥抱 接吻 击掌 姿势
    立って 座って 走って 歩いて 手を振 見つめ 持って 踊 歌 読 食べ 飲 寝 ピース ジャンプ
"""
_QUALITY = """
    masterpiece quality highres absurdres 4k 8k hd uhd detailed aesthetic newest score_9 score_8_up best_quality
    intricate
    杰作 质量 画质 高清 精细 超高清 傑作 高品質 最高品質 高画質 高精細
"""
_STYLE = """
    anime style watercolor sketch oil_painting lineart line_art pixel_art monochrome greyscale grayscale cel_shading
    flat_color photorealistic realistic 3d manga comic illustration photo render concept_art
    风格 画风 水彩 素描 油画 动漫 赛璐璐 像素 漫画 写实 插画 黑白 アニメ 水彩 油絵 画風 スタイル 漫画 イラスト 白黒 線画
"""
_BACKGROUND = """
    background indoors outdoors classroom beach forest city cityscape street sky school park sea ocean garden room
    bedroom kitchen mountain mountains field library cafe rooftop bridge river lake stage
    背景 教室 海边 海滩 沙滩 森林 城市 街道 街上 天空 夜空 星空 学校 校园 公园 室内 室外 户外 房间 卧室 花园 雪地 山
    图书馆 屋顶 海 砂浜 街 空 公園 室内 屋外 部屋 庭 山 図書館 屋上 背景
"""
_LIGHTING = """
    lighting light sunlight moonlight backlighting night day sunset sunrise dusk dawn evening morning daylight
    candlelight
    夜晚 夜里 白天 日落 日出 阳光 月光 光线 灯光 逆光 黄昏 清晨 傍晚
    夜 夕焼け 夕日 朝 昼 日差し 月明かり ライト 照明
"""
_PERSPECTIVE = """
    from_above from_below from_side from_behind close-up closeup full_body upper_body lower_body cowboy_shot portrait
    wide_shot dutch_angle view angle fisheye pov depth_of_field bokeh shot
    特写 全身 半身 上半身 俯视 仰视 视角 镜头 远景 近景 景深 アップ 上半身 全身 俯瞰 あおり 視点 構図 バストアップ
"""
_ATMOSPHERE = """
    atmosphere mood peaceful cinematic dreamy melancholic rainy snowy rain snow cozy romantic
    氛围 气氛 下雨 下雪 雨天 宁静 浪漫 梦幻 雰囲気 雨 雪 静か 幻想的
"""
_COUNT = "solo couple duo trio group crowd multiple_girls multiple_boys 单人 双人 多人"
# What ends with -ing and is nothing that someone does.
_THING_WORDS = """
    king ring string spring morning evening building painting lighting ceiling wedding earring darling sibling clothing
    drawing shading rating setting
"""
_THINGS = frozenset(_THING_WORDS.split())
# Expression before appearance: `closed eyes`. Clothing before it too: `cat ear headphones`, `眼镜`, `发夹`.
_CHARACTER = (
    ("expression", _EXPRESSION), ("clothing", _CLOTHING), ("appearance", _APPEARANCE), ("body_type", _BODY),
    ("action", _ACTION),
)  # fmt: skip
_GENERAL = (
    ("quality", _QUALITY), ("style", _STYLE), ("background", _BACKGROUND), ("lighting", _LIGHTING),
    ("perspective", _PERSPECTIVE), ("atmosphere", _ATMOSPHERE), ("count", _COUNT),
)  # fmt: skip
_ARTIST = re.compile(
    r"(?:(?:(?:art|drawn|illustrated|painted|artwork) )?by (?!(?:the|a|an|my|her|his|their) )|artists?[\s:：_]|by_|@|"
    r"画师[\s:：_]?|絵師[\s:：_]?)\S.*",
    re.IGNORECASE,
)
_MEDIUM = re.compile(r".{1,40}[ _]\((?:medium|style|artwork|texture)\)", re.IGNORECASE)  # watercolor_(medium)
_CHINESE = re.compile("[\u3040-\u30ff\u3400-\u9fff]")


Table = tuple[tuple[str, frozenset[str], frozenset[str], tuple[str, ...]], ...]


def _table(named: tuple[tuple[str, str], ...]) -> Table:
    """For every field: the words a tag may be or end with, those it may hold anywhere, and the Chinese in it."""
    tables = []
    for field, text in named:
        words = text.split()
        chinese = tuple(word for word in words if _CHINESE.search(word))
        anywhere = frozenset(word[1:] for word in words if word[0] == "*")
        ends = frozenset(word_key(word) for word in words if word[0] != "*" and word not in chinese)
        tables.append((field, ends, anywhere, chinese))
    return tuple(tables)


_CHARACTER_TABLE, _GENERAL_TABLE = _table(_CHARACTER), _table(_GENERAL)


def _field_in(text: str, table: Table) -> str | None:
    key = word_key(text)
    parts = key.split("_")
    tails = {"_".join(parts[-size:]) for size in range(1, 4)} | {key}
    # Every exact word before any Chinese sign that is only part of one.
    for field, ends, anywhere, _ in table:
        if tails & ends or anywhere & set(parts):
            return field
    if _CHINESE.search(text):
        # The sign that stands last says what the tag is: `发夹` ends in what is worn, `戴帽子的长发` in hair.
        found = [(text.rfind(sign) + len(sign), len(sign), field) for field, _, _, signs in table for sign in signs
                 if sign in text]  # fmt: skip
        return max(found, key=lambda entry: entry[:2])[2] if found else None
    return None


def field_of_person(text: str) -> str | None:
    """The field of a character that this tag belongs to; None where no table knows it."""
    if emoticon_at(text, 0) == len(text) or text in (">_<", "^_^", "|_|", "<3", "<o>_<o>"):
        return "expression"
    if not read_position((text,))[1]:
        return "position"
    field = _field_in(text, _CHARACTER_TABLE)
    if field is None and field_of_picture(text) is None:
        first = word_key(text).split("_")[0]
        if len(first) > 4 and first.endswith("ing") and first not in _THINGS:
            return "action"
    return field


def field_of_picture(text: str) -> str | None:
    """The field of the whole picture that this tag belongs to; None where no table knows it."""
    if _MEDIUM.fullmatch(text):
        return "style"
    return "artists" if _ARTIST.fullmatch(text) else _field_in(text, _GENERAL_TABLE)


_GROUP_WORDS = """
    friends sisters brothers siblings twins kids children students idols members group
    人 人物 人组 人組 角色 朋友 姐妹 兄弟 キャラクター キャラ 友達 姉妹
"""
_GROUPS = dict.fromkeys((*LISTS, *_GROUP_WORDS.split()), 0)
_GROUPS |= {"couple": 2, "duo": 2, "pair": 2, "trio": 3, "ふたり": 2, "俩": 2}
_ARTICLE = re.compile("^(?:the|these|our)_")
_PLURAL = re.compile("(?:s|en|们|たち)$")
_COUNT_WORDS = "one two three four five six seven eight"
_NUMBER = re.compile(
    rf"(?:([0-9]{{1,2}})|([一二两兩三四五六七八九十])|({_COUNT_WORDS.replace(' ', '|')})(?=_))"
    r"(?![0-9]|_?(?:years?|yo|y\.?o|岁|歳|才|k\b|d\b))\+?(?:[个個名位只隻]|人の?)?"
)
_MANY = re.compile("multiple_|several_|many_|some_|few_|group_of_|crowd_of_|多个|多名|几个|許多|大勢の|複数の")
_TRAILING_NUMBER = re.compile(r"_?(?:x_?)?([0-9二三四五六七八九两])人?$")  # 女の子2人
_DIGITS = (
    {"两": 2, "兩": 2}
    | {digit: i for i, digit in enumerate("一二三四五六七八九十", start=1)}
    | {word: i for i, word in enumerate(_COUNT_WORDS.split(), start=1)}
)


def people_in(text: str) -> tuple[str, int] | None:
    """`1girl`, `two boys`' spelling `2boys`, `a blue-haired girl`, `蓝发女孩` -> the gender and how many; or None."""
    key = word_key(text)
    counted = _NUMBER.match(key)
    if counted is None and not key.isascii() and (behind := _TRAILING_NUMBER.search(key)):
        counted, key, text = behind, key[: behind.start()], key[: behind.start()]
    count = _number(counted) if counted else 1
    gender = gender_of(text) or gender_of(key.rsplit("_", 1)[-1]) or _last_chinese(text)
    if gender is None or count == 0 or (gender == "other" and not counted) or _MANY.match(key):
        return None
    return gender, count


def _number(counted: re.Match[str]) -> int:
    number = next(filter(None, counted.groups()))
    return int(number) if number.isdigit() else _DIGITS[number]


def several_in(label: str) -> tuple[str, int] | None:
    """`two girls`, `Characters`, `两个人`: the gender ("" if unknown) and number (or 0) of several people; or None."""
    key = _ARTICLE.sub("", word_key(label))
    counted = _NUMBER.match(key)
    count = _number(counted) if counted else 0
    noun = key[counted.end() :].strip("_") or counted.group()[-1] if counted else key  # 两人 is counted whole
    if noun in _GROUPS and (count > 1 or not counted):
        return "", _GROUPS[noun] or count
    gender, people = people_in(key) or ("", 0)
    return (gender, people if people > 1 else 0) if people > 1 or (gender and _PLURAL.search(key)) else None


def is_counted(text: str) -> bool:
    """`1girl`, `two boys`: not what someone is like, but that there is one."""
    key = word_key(text)
    return people_in(text) is not None and bool(_NUMBER.match(key) or _TRAILING_NUMBER.search(key))


def _last_chinese(text: str) -> str | None:
    """`长发的少女`, `赤い髪の女の子`: the gender word of two signs or more that a Chinese or Japanese tag ends with."""
    ends = (text[-size:] for size in (3, 2) if _CHINESE.match(text[-size:]))
    return next(filter(None, map(gender_of, ends)), None)
