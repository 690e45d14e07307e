// Draws a figure with Plotly.react, which changes an existing plot in place.
const loaded = (route) => {
  window.__qanalysisPlotly ??= new Promise((resolve, reject) => {
    if (window.Plotly) return resolve(window.Plotly);
    const script = document.createElement("script");
    script.src = new URL(`${route}/plotly.min.js`, document.baseURI).href;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("plotly.min.js could not be loaded"));
    document.head.appendChild(script);
  });
  return window.__qanalysisPlotly;
};

const arrow = { width: 24, height: 24, path: "M5 20h14v-2H5v2zM19 9h-4V3H9v6H5l7 7 7-7z" };
const camera = {
  width: 24, height: 24,
  path: "M9 3 7.2 5H4a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h16a2 2 0 0 0 2-2V7a2 2 0 0 0-2-2h-3.2L15 3H9zm3 15a5 5 0 1 1 0-10 5 5 0 0 1 0 10z",
};

// On the page a figure is transparent; a file of its own gets the page's background.
const download = (plotly, format, scale, filename) => async (plot) => {
  const page = document.querySelector("[data-testid=stApp]") ?? document.body;
  const layout = { ...plot.layout, paper_bgcolor: getComputedStyle(page).backgroundColor };
  const figure = { data: plot.data, layout };
  await plotly.downloadImage(figure, { format, scale, filename, width: plot.clientWidth, height: plot.clientHeight });
};

// A click on a mark tells the server its first customdata; `__clicked` is renewed with every draw.
const listen = (holder, data, setTriggerValue) => {
  holder.__clicked = data.clickable ? (name) => setTriggerValue("clicked", name) : null;
  holder.classList.toggle("qa-clickable", data.clickable);
  if (holder.__listens) return;
  holder.__listens = true;
  holder.on("plotly_click", (event) => {
    const mark = event.points[0]?.customdata;
    const name = Array.isArray(mark) ? mark[0] : mark;
    if (name !== undefined && holder.__clicked) holder.__clicked(String(name));
  });
};

// `layout.meta.frames` holds x and y of some traces at every step: they are played in the browser, by a button and a
// slider that the keyboard reaches.
const player = (plotly, holder, bar, frames) => {
  clearInterval(bar.__timer);
  bar.hidden = !frames;
  if (bar.hidden) return;
  if (!bar.firstChild) {
    bar.innerHTML =
      "<button type='button' class='qa-play'></button>" +
      "<input type='range' min='0' step='1' aria-label='Step'><output></output>";
  }
  const [button, slider, told] = bar.children;
  const last = frames.x[0].length - 1;
  slider.max = last;
  const show = (step) => {
    slider.value = step;
    told.textContent = `step ${step} of ${last}`;
    const at = (values) => values.map((trace) => trace[step]);
    plotly.restyle(holder, { x: at(frames.x), y: at(frames.y) }, frames.traces);
  };
  const stop = () => {
    clearInterval(bar.__timer);
    bar.__timer = null;
    button.textContent = "▶ Play";
  };
  button.onclick = () => {
    if (bar.__timer) return stop();
    if (Number(slider.value) >= last) show(0);
    button.textContent = "❚❚ Pause";
    bar.__timer = setInterval(() => {
      if (!bar.isConnected || Number(slider.value) >= last) return stop();
      show(Number(slider.value) + 1);
    }, 80);
  };
  slider.oninput = () => {
    stop();
    show(Number(slider.value));
  };
  stop();
  show(0);
};

export default async function ({ data, parentElement, setTriggerValue }) {
  const holder = parentElement.querySelector(".qa-chart");
  const figure = JSON.parse(data.figure);
  holder.style.height = `${figure.layout.height ?? data.height}px`;
  let plotly;
  try {
    plotly = await loaded(data.route);
  } catch {
    holder.textContent = "The chart library could not be loaded. Start the app with: streamlit run dashboard.py";
    return;
  }
  await plotly.react(holder, figure.data, figure.layout, {
    displaylogo: false,
    showSendToCloud: false, // the button would upload the chart to Plotly's servers
    plotlyServerURL: "",
    responsive: true,
    modeBarButtonsToRemove: ["toImage", "lasso2d", "select2d"],
    modeBarButtonsToAdd: [
      { name: "png", title: "Download as PNG", icon: camera, click: download(plotly, "png", 2, data.file) },
      { name: "svg", title: "Download as SVG", icon: arrow, click: download(plotly, "svg", 1, data.file) },
    ],
  });
  listen(holder, data, setTriggerValue);
  player(plotly, holder, parentElement.querySelector(".qa-player"), figure.layout.meta?.frames);
}
