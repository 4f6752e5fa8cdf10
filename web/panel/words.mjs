// What the panel says, in the page's language.

const WORDS = {
  format: ["Format", "整理"],
  formatHint: ["One element a line, indented", "每个元素一行，自动缩进"],
  unformatted: ["Close every tag first", "请先闭合所有标签"],
  layout: ["Layout", "布局"],
  layoutHint: ["Drag people into place", "把角色拖到位"],
  plain: ["Plain text", "纯文本"],
  plainHint: ["Show ComfyUI's own text box", "改用 ComfyUI 自带的文本框"],
  heavier: ["Heavier (Ctrl+↑)", "加权（Ctrl+↑）"],
  lighter: ["Lighter (Ctrl+↓)", "减权（Ctrl+↓）"],
  removeTag: ["Remove this tag", "删除这个标签"],
  removeField: ["Empty this field", "清空这一项"],
  addField: ["Add this field", "添加这一项"],
  people: ["People", "角色"],
  peopleHint: ["Edit each person's tags as chips", "按角色编辑标签"],
  addPerson: ["Add a person", "添加角色"],
  removePerson: ["Remove this person", "删除这个角色"],
  picture: ["Picture", "画面"],
  linked: ["connected", "已连接"],
  convert: ["Turn into XML", "转成 XML"],
  removePosition: ["The box decides. Remove this position", "以方框为准。删除这个位置"],
  problem: ["Error", "错误"],
  warning: ["Note", "提示"],
  line: ["line", "行"],
  nobody: ["Nobody to place yet", "还没有角色"],
  locked: ["Only XML can be changed here", "这里只能修改 XML"],
  masked: ["The mask says where this character is", "这个角色的位置由遮罩决定"],
  hint: ["Drag to move, corners to resize; arrow keys, Shift for larger steps; double click for automatic",
    "拖动移动，拖角缩放；方向键微调，Shift 加大步长；双击恢复自动"],
  left: ["left", "左"],
  top: ["top", "上"],
  right: ["right", "右"],
  bottom: ["bottom", "下"],
};

// What an empty field shows.
const EXAMPLES = {
  name: ["miku, or any name", "miku，或任意名字"],
  appearance: ["blue hair, (twintails:1.2), ...", "蓝发，(双马尾:1.2)……"],
  clothing: ["school uniform, hat, ...", "校服，帽子……"],
  expression: ["smile, ...", "微笑……"],
  action: ["standing, facing_right, ...", "站立，面向右……"],
  position: ["left, or drag in the layout", "左，或在布局里拖动"],
  negative: ["what must not be here", "这里不要出现的东西"],
  caption: ["The picture in a sentence", "用一句话描述画面"],
  style: ["flat color, ...", "平涂……"],
  background: ["beach, sunset, ...", "海滩，日落……"],
  atmosphere: ["cheerful, ...", "欢快……"],
  quality: ["masterpiece, ...", "masterpiece……"],
  interaction: ["handshake, ...", "握手……"],
};

// Elements, in Chinese; in English they are called what they are.
const FIELDS = {
  n: "名字", name: "名字", gender: "性别", appearance: "外貌", clothing: "服装", body_type: "体型", expression: "表情",
  action: "动作", pose: "姿势", position: "位置", negative: "负面", interaction: "互动", other: "其他", bbox: "边框",
  caption: "描述", count: "人数", artists: "画师", style: "风格", background: "背景", environment: "环境",
  perspective: "视角", lighting: "光线", atmosphere: "氛围", quality: "质量", objects: "物体", spacing: "间距",
};

/**
 * @param {string} locale such as `en` or `zh-TW`
 * @returns {((word: keyof typeof WORDS) => string) & Record<"example" | "field", (name: string) => string>}
 */
export function wordsOf(locale) {
  const at = locale.toLowerCase().startsWith("zh") ? 1 : 0;
  const field = (name) => (at && FIELDS[name.toLowerCase()]) || (name === "n" ? "name" : name);
  return Object.assign((word) => WORDS[word][at], { example: (name) => EXAMPLES[name]?.[at] ?? "", field });
}
