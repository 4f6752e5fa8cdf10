// The graph around a node, found without a run: the shape of the picture that its prompt will become, what was drawn
// from it last; and what a panel tells the graph.

const FURTHEST = 40; // nodes, so that a loop ends

const valueOf = (node, name) => node?.widgets?.find((widget) => widget.name === name)?.value;
const sourceOf = (graph, input) => {
  const link = input?.link == null ? null : graph.getLink(input.link);
  return link ? graph.getNodeById(link.origin_id) : null;
};

/** @param {object} node @returns {object[]} all nodes that its outputs lead to, nearest first */
function behind(node) {
  const found = [];
  const queue = [node];
  for (const seen = new Set([node]); queue.length && found.length < FURTHEST; ) {
    const { outputs, graph } = queue.shift();
    for (const id of (outputs ?? []).flatMap((output) => output.links ?? [])) {
      const next = graph?.getNodeById(graph.getLink(id)?.target_id);
      if (!next || seen.has(next)) continue;
      seen.add(next);
      found.push(next);
      queue.push(next);
    }
  }
  return found;
}

/** Width and height in pixels that a node gives its latent, or null. */
function sizeOf(node) {
  const named = /(\d+) x (\d+)$/.exec(valueOf(node, "size") ?? "");
  const width = named ? named[1] : (valueOf(node, "size.width") ?? valueOf(node, "width"));
  const height = named ? named[2] : (valueOf(node, "size.height") ?? valueOf(node, "height"));
  return width > 0 && height > 0 ? [Number(width), Number(height)] : null;
}

/** @param {object} node of a prompt @returns {number} width / height; 1 where no latent meets the scene */
export function aspectOf(node) {
  for (const consumer of behind(node)) {
    let input = consumer.inputs?.find(({ type, link }) => type === "LATENT" && link != null);
    for (let steps = 0, graph = consumer.graph; input && steps < FURTHEST; steps += 1) {
      const source = sourceOf(graph, input);
      const size = source && sizeOf(source);
      if (size) return size[0] / size[1];
      input = source?.inputs?.find(({ type, link }) => type === "LATENT" && link != null);
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

/** Calls `drawn` whenever a run is over, as long as the node is there. */
export function afterRuns(api, node, drawn) {
  api.addEventListener("execution_success", drawn);
  const { onRemoved } = node;
  node.onRemoved = function () {
    onRemoved?.call(this);
    api.removeEventListener("execution_success", drawn);
  };
}

/** Takes the pictures of the last layout off the nodes that preview a prompt which has been refused. */
export function dropPreviews(app, node) {
  for (const preview of behind(node).filter(({ type }) => type === "NewBieLayoutPreview")) {
    delete app.nodeOutputs[outputKey(preview)];
    preview.imgs = preview.images = undefined;
    preview.graph.setDirtyCanvas(true, true);
  }
}
