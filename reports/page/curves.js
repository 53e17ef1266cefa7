"use strict";
// Draws lines over common points, again when the width or the colour scheme changes.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const css = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const units = [["s", 1e9], ["ms", 1e6], ["µs", 1e3], ["ns", 1]];
  const time = ns => {
    if (ns === 0) return "0";
    const [name, size] = units.find(u => ns >= u[1]) || units[3];
    return Number((ns / size).toPrecision(3)) + " " + name;
  };
  const text = unit => v => v == null ? "–" : unit === "ns" ? time(v) : Number(v.toPrecision(4)).toLocaleString("en-US") + (unit === "" ? "" : " " + unit);
  const palette = ["unconfigured", "lockless", "writer_active", "seq_changed", "no_vma", "no_uprobe", "no_file", "handler"];
  const axis = extra => Object.assign({
    stroke: css("muted"), grid: { stroke: css("grid"), width: 1 }, ticks: { stroke: css("grid"), width: 1 },
    font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", labelSize: 18,
  }, extra);
  const dashes = [[], [8, 4], [2, 3]];

  function chart(c, width) {
    const show = text(c.Unit);
    const wide = c.At.length > 1 && c.At[c.At.length - 1] / c.At[0] >= 8 && c.At[0] > 0;
    const series = [{ label: c.X, value: (u, v) => v == null ? "–" : String(v) }];
    c.Lines.forEach((l, i) => series.push({
      label: l.Name, stroke: css(palette[i % palette.length]), width: 2, dash: dashes[Math.floor(i / palette.length) % dashes.length],
      points: { show: true, size: 6 }, value: (u, v) => show(v), spanGaps: false,
    }));
    return [{
      width, height: 300, series,
      scales: { x: wide ? { time: false, distr: 3, log: 2 } : { time: false }, y: { range: (u, min, max) => [0, max > 0 ? max * 1.08 : 1] } },
      axes: [
        axis({ label: c.X, splits: c.At.length <= 16 ? () => c.At : undefined, values: (u, v) => v.map(x => x == null ? "" : String(x)), filter: (u, v) => v }),
        axis({ size: 72, values: (u, v) => v.map(show) }),
      ],
      cursor: { drag: { x: true, y: false } },
    }, [c.At].concat(c.Lines.map(l => l.Y))];
  }

  let drawn = [];
  function draw() {
    drawn.forEach(p => p.destroy());
    drawn = (data || []).map((c, i) => {
      const place = document.getElementById("curves-" + i);
      const [options, columns] = chart(c, place.clientWidth);
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
})();
