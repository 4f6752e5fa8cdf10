// The graph around a node, found without a run: the shape of the picture that its prompt will become, what was drawn
// from it last; and what a panel tells the graph.

const FURTHEST = 40; // nodes, so that a loop ends
const LOADED = 1500; // milliseconds
const BYPASSED = 4; // a node's mode
const [ENTRANCE, EXIT] = ["-10", "-20"]; // what a subgraph's links call its own sockets: its node's, one level up

const widgetOf = (node, name) => node.widgets?.find((widget) => widget.name === name);
const linked = (node, type) => node.inputs?.find((input) => input.type === type && input.link != null);

/** The node of a subgraph that this graph is the inside of. */
function outerOf(graph) {
  const root = graph.rootGraph ?? graph;
  for (const one of [root, ...(root.subgraphs?.values() ?? [])])
    for (const node of one.nodes) if (node.subgraph === graph) return node;
  return null;
}

/**
 * What really feeds an input, past reroutes and bypassed nodes, out of subgraphs and into them.
 * @returns {{origin?: object, face?: object, input?: object}} a node; or a subgraph's, on whose face this input is
 */
function feeding(node, input) {
  let { graph } = node;
  let link = input?.link == null ? null : graph.getLink(input.link);
  for (let steps = 0; link && steps < FURTHEST; steps += 1) {
    const outer = String(link.origin_id) === ENTRANCE ? outerOf(graph) : null;
    const origin = outer ?? graph.getNodeById(link.origin_id);
    let next;
    if (outer) {
      const above = outer.inputs[link.origin_slot];
      if (above?.link == null) return { face: outer, input: above };
      graph = outer.graph;
      next = above.link;
    } else if (origin?.subgraph) {
      graph = origin.subgraph;
      next = graph.outputs[link.origin_slot]?.linkIds[0];
    } else if (origin?.type === "Reroute") next = origin.inputs[0].link;
    else if (origin?.mode === BYPASSED) next = linked(origin, origin.outputs[link.origin_slot]?.type)?.link;
    else return { origin };
    link = next == null ? null : graph.getLink(next);
  }
  return {};
}

/** The node that really feeds an input, or nothing. */
export const sourceOf = (node, input) => feeding(node, input).origin;

/** @param {object} node @returns {object[]} all nodes that its outputs lead to, also over subgraphs' edges, nearest first */
function behind(node) {
  const found = [];
  const queue = [{ graph: node.graph, links: (node.outputs ?? []).flatMap((output) => output.links ?? []) }];
  for (const seen = new Set([node]); queue.length && found.length < FURTHEST; ) {
    const { graph, links } = queue.shift();
    for (const link of links.map((id) => graph?.getLink(id)).filter(Boolean)) {
      const outer = String(link.target_id) === EXIT ? outerOf(graph) : null;
      if (outer) queue.push({ graph: outer.graph, links: outer.outputs[link.target_slot]?.links ?? [] });
      const next = outer ? null : graph.getNodeById(link.target_id);
      if (next?.subgraph) queue.push({ graph: next.subgraph, links: next.subgraph.inputs[link.target_slot]?.linkIds ?? [] });
      if (!next || next.subgraph || seen.has(next)) continue;
      seen.add(next);
      found.push(next);
      queue.push({ graph: next.graph, links: (next.outputs ?? []).flatMap((output) => output.links ?? []) });
    }
  }
  return found;
}

/** What a widget will be worth when it is queued: its own value, a primitive's, or that on the face of a subgraph. */
export function valueOf(node, name) {
  const linkedTo = node.inputs?.find(({ widget, link }) => widget?.name === name && link != null);
  if (!linkedTo) return widgetOf(node, name)?.value;
  const { origin, face, input } = feeding(node, linkedTo);
  if (face) return widgetOf(face, input?.widget?.name ?? input?.name)?.value;
  return origin?.type.startsWith("Primitive") ? origin.widgets?.[0]?.value : undefined; // else only a run can tell
}

/** Width and height in pixels that a node gives its latent, or null. */
function sizeOf(node) {
  const named = /(\d+) x (\d+)$/.exec(valueOf(node, "size") ?? "");
  const width = named ? named[1] : (valueOf(node, "size.width") ?? valueOf(node, "width"));
  const height = named ? named[2] : (valueOf(node, "size.height") ?? valueOf(node, "height"));
  if (width > 0 && height > 0) return [Number(width), Number(height)];
  const [picture] = node.imgs ?? []; // of a node that loads one, which the page shows
  return picture?.naturalWidth > 0 ? [picture.naturalWidth, picture.naturalHeight] : null;
}

/** @param {object} node of a prompt @returns {number} width / height; 1 where no latent meets the scene */
export function aspectOf(node) {
  for (const consumer of behind(node)) {
    for (let at = consumer, steps = 0; at && steps < FURTHEST; steps += 1) {
      const input = linked(at, "LATENT") ?? (at !== consumer && linked(at, "IMAGE"));
      at = input ? sourceOf(at, input) : null;
      const size = at && sizeOf(at);
      if (size) return size[0] / size[1];
    }
  }
  return 1;
}

/** What the page knows a node's outputs by: its number, behind that of the subgraph which it is in. */
const outputKey = ({ id, graph }) => (graph.isRootGraph ?? true ? String(id) : `${graph.id}:${id}`);

/** @param {{app: object, api: object}} host @returns {string | null} the address of the last picture drawn from it */
export function lastPicture({ app, api }, node) {
  const pictures = behind(node).filter(({ type }) => type !== "NewBieLayoutPreview")
    .flatMap((drawn) => app.nodeOutputs[outputKey(drawn)]?.images ?? []);
  return pictures.length ? api.apiURL(`/view?${new URLSearchParams(pictures[0])}`) : null;
}

/** @param {object} app after a change that was not typed: one step for the graph's undo */
export function remember(app) {
  const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
  (tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker);
}

/** Calls `run` at every such event of the page's, as long as the node is there. */
export function listen(api, node, event, run) {
  api.addEventListener(event, run);
  also(node, "onRemoved", () => api.removeEventListener(event, run));
}

/** Whenever the host calls this method of a node or a widget, does `run` as well, after what was there before. */
export function also(owner, method, run) {
  const before = owner[method];
  owner[method] = function (...given) {
    before?.apply(this, given);
    run(...given);
  };
}

/** Calls `look` whenever the graph has changed, and once more when the pictures that nodes load will be there. */
export function watch(api, node, look) {
  let timer = setTimeout(look, LOADED);
  listen(api, node, "graphChanged", () => {
    look();
    clearTimeout(timer);
    timer = setTimeout(look, LOADED);
  });
}

/** Takes the pictures of the last layout off the nodes that preview a prompt which has been refused. */
export function dropPreviews(app, node) {
  for (const preview of behind(node).filter(({ type }) => type === "NewBieLayoutPreview")) {
    delete app.nodeOutputs[outputKey(preview)];
    preview.imgs = preview.images = undefined;
    preview.graph.setDirtyCanvas(true, true);
  }
}
