// What the panel says, in the page's language.

const WORDS = {
  format: ["Format", "整理"],
  formatHint: ["One element a line, indented", "每个元素一行，自动缩进"],
  unformatted: ["Close every tag first", "请先闭合所有标签"],
  layout: ["Layout", "布局"],
  layoutHint: ["Drag people into place", "把角色拖到位"],
  plain: ["Plain text", "纯文本"],
  plainHint: ["Show ComfyUI's own text box", "改用 ComfyUI 自带的文本框"],
  convert: ["Turn into XML", "转成 XML"],
  removePosition: ["The box decides. Remove this position", "以方框为准。删除这个位置"],
  problem: ["Error", "错误"],
  warning: ["Note", "提示"],
  line: ["line", "行"],
  nobody: ["Nobody to place yet", "还没有角色"],
  locked: ["Only XML can be changed by dragging", "只有 XML 才能拖动修改"],
  hint: ["Drag to move, corners to resize; arrow keys, Shift for larger steps; double click for automatic",
    "拖动移动，拖角缩放；方向键微调，Shift 加大步长；双击恢复自动"],
  left: ["left", "左"],
  top: ["top", "上"],
  right: ["right", "右"],
  bottom: ["bottom", "下"],
};

/**
 * @param {string} locale such as `en` or `zh-TW`
 * @returns {(word: keyof typeof WORDS) => string}
 */
export const wordsOf = (locale) => (word) => WORDS[word][locale.toLowerCase().startsWith("zh") ? 1 : 0];
