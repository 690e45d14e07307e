// The workflow as a chart of boxes, questions and arrows. Boxes are links to their pages, and can be run from here.
const WORDS = {
  waiting: "not run yet", next: "comes next", running: "running", done: "done", "not needed": "not needed",
  refused: "not done",
};
const ICONS = { waiting: "○", next: "▷", running: "◌", done: "✓", "not needed": "–", refused: "✕" };

const text = (kind, name, content) => {
  const made = document.createElement(kind);
  made.className = name;
  made.textContent = content;
  return made;
};

const box = (node, data, trigger) => {
  const made = document.createElement("section");
  made.className = `qa-box qa-${node.state.replace(" ", "-")}`;
  made.style.gridArea = node.key;
  const head = document.createElement("header");
  const link = data.links[node.key];
  const title = document.createElement(link ? "a" : "span");
  title.textContent = node.title;
  title.className = "qa-title";
  if (link) title.href = link;
  title.addEventListener("click", (event) => {
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    trigger("open", node.key);
  });
  const state = text("span", "qa-state", ICONS[node.state]);
  state.title = WORDS[node.state];
  state.setAttribute("role", "img");
  state.setAttribute("aria-label", WORDS[node.state]);
  head.append(title, state);
  made.append(head);
  if (node.value) made.append(text("div", "qa-value", node.value));
  for (const line of node.lines) made.append(text("p", "qa-line", line));
  if (node.progress !== null) {
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = node.progress;
    bar.setAttribute("aria-label", `${node.title}: how far it is`);
    made.append(bar);
  }
  if (node.state === "next" && data.idle) {
    const run = text("button", "qa-run", "Run this step");
    run.setAttribute("aria-label", `Run ${node.title}`);
    run.addEventListener("click", () => trigger("run", node.key));
    made.append(run);
  }
  return made;
};

const decision = (node) => {
  const made = document.createElement("div");
  made.className = `qa-ask qa-answer-${node.answer || "open"}`;
  made.style.gridArea = `ask-${node.key}`;
  made.append(text("span", "qa-question", node.question));
  made.append(text("span", "qa-yes", node.answer === "yes" ? "yes ↓" : node.answer === "no" ? "no →" : "?"));
  return made;
};

const arrow = (area, on) => {
  const made = text("div", `qa-arrow${on ? " qa-on" : ""}`, "→");
  made.style.gridArea = area;
  made.setAttribute("aria-hidden", "true");
  return made;
};

export default function ({ data, parentElement, setTriggerValue }) {
  const chart = parentElement.querySelector(".qa-flow");
  chart.__trigger = setTriggerValue;
  const said = JSON.stringify(data);
  if (chart.__said === said) return;  // nothing new: the keyboard's focus stays where it is
  chart.__said = said;
  const focused = chart.contains(document.activeElement) ? document.activeElement.textContent : null;
  const trigger = (name, value) => chart.__trigger(name, value);
  const by = Object.fromEntries(data.nodes.map((node) => [node.key, node]));
  chart.replaceChildren(
    ...data.nodes.map((node) => box(node, data, trigger)),
    ...data.nodes.filter((node) => node.question).map(decision),
    arrow("to-ptq", by.baseline.state === "done"),
    arrow("to-partial", by.ptq.answer === "no"),
    arrow("to-qat", by.partial.answer === "no" || (by.partial.state === "not needed" && by.ptq.answer === "no")),
  );
  if (focused) {
    [...chart.querySelectorAll("a, button")].find((one) => one.textContent === focused)?.focus();
  }
}
