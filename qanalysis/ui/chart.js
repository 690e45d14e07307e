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

const svgIcon = {
  width: 24, height: 24,
  path: "M5 20h14v-2H5v2zM19 9h-4V3H9v6H5l7 7 7-7z",
};

export default async function ({ data, parentElement }) {
  const holder = parentElement.querySelector(".qa-chart");
  holder.style.height = `${data.height}px`;
  const figure = JSON.parse(data.figure);
  let plotly;
  try {
    plotly = await loaded(data.route);
  } catch (error) {
    holder.textContent = "The chart library could not be loaded. Start the app with: streamlit run dashboard.py";
    return;
  }
  const svg = {
    name: "svg", title: "Download as SVG", icon: svgIcon,
    click: (plot) => plotly.downloadImage(plot, { format: "svg", filename: data.file }),
  };
  await plotly.react(holder, figure.data, figure.layout, {
    displaylogo: false,
    responsive: true,
    modeBarButtonsToRemove: ["lasso2d", "select2d"],
    modeBarButtonsToAdd: [svg],
    toImageButtonOptions: { format: "png", scale: 2, filename: data.file },
  });
}
