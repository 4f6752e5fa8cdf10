"""One thing has one name in all that Chinese users read; what another name means here is a word of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READ = [  # by users; docs/ speaks of attention's masks, too
    ROOT / "README.zh-CN.md",
    *sorted((ROOT / "web" / "docs").rglob("*zh.md")),
    *(ROOT / "locales" / "zh").glob("*.json"),
    ROOT / "xml_prompt" / "messages.zh.json",
    ROOT / "web" / "newbie.js",
    ROOT / "web" / "panel" / "words.mjs",
]
OTHERS = {  # pattern -> the name
    r"(?<![方边文本外入画界])框": "方框",  # 边框 is an element, 外框 a mask's; ComfyUI has 文本框, 输入框, 边界框
    r"人物(?![0-9])": "角色",  # 人物2 is a name that the reader takes, too
    r"蒙版|掩码": "遮罩",
    r"空隙|缝隙": "间隙",
    r"SD(?:XL)? 检查点": "SD 模型",
    r"潜空间|潜变量|(?<![\w`\"'*])latent(?![\w`\"'-])": "Latent",
    r"载入|装载": "加载",
    r"分离|分隔开": "隔离",
    r"负向|反面": "负面",
}


@pytest.mark.parametrize("pattern", OTHERS)
def test_one_thing_has_one_name(pattern):
    lines = ((path.name, line) for path in READ for line in path.read_text("utf-8").splitlines())
    chinese = [(name, line) for name, line in lines if re.search("[\u4e00-\u9fff]", line)]
    assert [(name, line) for name, line in chinese if re.search(pattern, line)] == [], f"it is {OTHERS[pattern]} here"
