"use strict";
// What the pages with charts share: colours, axes, times, and drawing all charts again when
// the width or the colour scheme changes. Times are nanoseconds.
const charts = (() => {
  const css = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const units = [["s", 1e9], ["ms", 1e6], ["µs", 1e3], ["ns", 1]];
  const time = ns => {
    if (ns == null) return "–";
    if (ns === 0) return "0";
    const [name, size] = units.find(u => ns >= u[1]) || units[3];
    return Number((ns / size).toPrecision(3)) + " " + name;
  };
  const palette = ["unconfigured", "lockless", "writer_active", "seq_changed", "no_vma", "no_uprobe", "no_file", "handler"];
  const axis = extra => Object.assign({
    stroke: css("muted"), grid: { stroke: css("grid"), width: 1 }, ticks: { stroke: css("grid"), width: 1 },
    font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", labelSize: 18,
  }, extra);

  // drawAll draws each chart of the page's data: id names its place, and plot makes options
  // and columns for uPlot, of a chart and a width.
  function drawAll(id, plot) {
    const data = JSON.parse(document.getElementById("data").textContent) || [];
    let drawn = [];
    function draw() {
      drawn.forEach(p => p.destroy());
      drawn = data.map((chart, i) => {
        const place = document.getElementById(id(chart, i));
        const [options, columns] = plot(chart, place.clientWidth);
        return new uPlot(options, columns, place);
      });
    }
    let width = document.body.clientWidth, timer;
    new ResizeObserver(() => {
      if (document.body.clientWidth === width) return;
      width = document.body.clientWidth;
      clearTimeout(timer);
      timer = setTimeout(draw, 60);
    }).observe(document.body);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    draw();
  }
  return { css, time, palette, axis, drawAll };
})();
