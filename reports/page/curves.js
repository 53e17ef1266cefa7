"use strict";
// Lines over common points.
(() => {
  const { css, time, palette, axis } = charts;
  const text = unit => v => v == null ? "–" : unit === "ns" ? time(v) : Number(v.toPrecision(4)).toLocaleString("en-US") + (unit === "" ? "" : " " + unit);
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

  charts.drawAll((c, i) => "curves-" + i, chart);
})();
