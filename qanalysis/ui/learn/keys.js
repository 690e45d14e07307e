// Shortcuts of buttons are silent while a slider has the focus, which it keeps after it was moved: in a lecture, always.
const BUTTONS = { n: "learn-next", p: "learn-previous", a: "learn-answer" };

const pressed = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !event.target.matches?.("input[type=range]")) return;
  const button = document.querySelector(`.st-key-${BUTTONS[event.key.toLowerCase()]} button`);
  if (button && !button.disabled) button.click();
};

export default function () {
  if (window.__qanalysisKeys) return;
  window.__qanalysisKeys = true;
  document.addEventListener("keydown", pressed);
}
