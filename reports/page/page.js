"use strict";
// The charts of a report.
(() => {
  const { css, time, palette, axis } = charts;
  const percent = p => p == null ? "–" : Number(p.toPrecision(4)) + " %";
  const number = n => n == null ? "–" : n.toLocaleString("en-US");

  // overTime stacks what happened in each slice of time, with shares of that time as
  // lines.
  function overTime(chart, width) {
    const slices = ((chart.lines || chart.bars)[0]).values.length;
    const x = Array.from({ length: slices }, (_, i) => (i + 0.5) * chart.step_ns);
    const sums = x.map(() => 0);
    const bars = chart.bars || [], lines = chart.lines || [];
    const stacked = bars.map(r => r.values.map((n, i) => sums[i] += n));
    const whole = bars.every(r => r.values.every(Number.isInteger));
    const series = [{ label: "time", value: (u, v) => time(v) }];
    const columns = [x];
    for (let i = bars.length - 1; i >= 0; i--) { // tallest first, so that the others cover it
      const bar = bars[i];
      series.push({
        label: bar.name, scale: "y", fill: css(bar.class), stroke: css(bar.class), width: 0,
        paths: uPlot.paths.bars({ size: [0.95, 40], align: 0 }), points: { show: false },
        value: (u, v, s, idx) => idx == null ? "–" : number(whole ? bar.values[idx] : Number(bar.values[idx].toPrecision(3))),
      });
      columns.push(stacked[i]);
    }
    lines.forEach((line, i) => {
      series.push({
        label: line.name, scale: "held", stroke: css(line.class), width: 1.5, dash: i % 2 ? [6, 4] : [], points: { show: false },
        value: (u, v) => chart.line_ns ? time(v) : percent(v), spanGaps: true,
      });
      columns.push(line.values.map(v => v < 0 ? null : v));
    });
    const y = { label: chart.y + (whole ? " per " + time(chart.step_ns) : ""), size: 64 };
    if (whole) y.incrs = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 1e4, 2e4, 5e4, 1e5, 1e6, 1e7];
    return [{
      width, height: 280, series,
      scales: {
        x: { time: false, range: (u, min, max) => min == null ? [0, chart.step_ns * slices] : [Math.max(0, min - chart.step_ns / 2), max + chart.step_ns / 2] },
        y: { range: (u, min, max) => [0, Math.max(whole ? 1 : 0.01, max * 1.05)] },
        held: { range: (u, min, max) => [0, Math.max(1, (max || 0) * 1.15)] },
      },
      axes: [
        axis({ values: (u, v) => v.map(time), label: "time" }),
        axis(y),
        chart.line_ns
          ? axis({ scale: "held", side: 1, label: chart.line_ns, size: 64, grid: { show: false }, values: (u, v) => v.map(time) })
          : axis({ scale: "held", side: 1, label: "held, % of time", size: 56, grid: { show: false }, values: (u, v) => v.map(n => n + " %") }),
      ],
      cursor: { drag: { x: true, y: false } },
      hooks: { drawClear: [u => shade(u, chart.lost || [])] },
    }, columns];
  }

  // shade marks the stretches in which events were lost.
  function shade(u, spans) {
    u.ctx.save();
    u.ctx.fillStyle = css("lost");
    for (const s of spans) {
      const from = Math.max(u.valToPos(s.from, "x", true), u.bbox.left);
      const to = Math.min(u.valToPos(s.to, "x", true), u.bbox.left + u.bbox.width);
      if (to >= from) u.ctx.fillRect(from, u.bbox.top, Math.max(to - from, 2 * devicePixelRatio), u.bbox.height);
    }
    u.ctx.restore();
  }

  // latency draws, for each run, the share of hits resolved within a time.
  function latency(chart, width) {
    const series = [{ label: "resolved within", value: (u, v) => time(v) }];
    chart.runs.forEach((run, i) => series.push({
      label: run.name, stroke: css(palette[i % palette.length]), width: 2, dash: i % 2 ? [] : [6, 4], points: { show: false },
      value: (u, v) => percent(v),
    }));
    return [{
      width, height: 280, series,
      scales: { x: { time: false, distr: 3 }, y: { range: [0, 100] } },
      axes: [
        axis({ label: "time to resolve a hit", values: (u, v) => v.map(n => n == null ? "" : /^[125]/.test(n.toExponential()) ? time(n) : "") }),
        axis({ label: "share of hits", size: 56, values: (u, v) => v.map(n => n + " %") }),
      ],
      cursor: { drag: { x: true, y: false } },
    }, [chart.x].concat(chart.runs.map(r => r.share))];
  }

  // curve draws, for each run, what a hit takes against the number of CPUs; what was
  // measured is dashed.
  function curve(chart, width) {
    const names = [...new Set(chart.runs.map(r => r.name.replace(/, measured$/, "")))];
    const series = [{ label: "CPUs", value: (u, v) => v == null ? "–" : String(v) }];
    for (const run of chart.runs) {
      const of = names.indexOf(run.name.replace(/, measured$/, ""));
      series.push({
        label: run.name, stroke: css(palette[of % palette.length]), width: 2, dash: names.includes(run.name) ? [] : [3, 4],
        points: { show: true, size: 6 }, value: (u, v) => time(v), spanGaps: true,
      });
    }
    return [{
      width, height: 300, series,
      scales: { x: { time: false, distr: 3, log: 2 }, y: { range: (u, min, max) => [0, (max || 1) * 1.08] } },
      axes: [
        axis({ label: "CPUs", splits: () => chart.x, values: (u, v) => v.map(String), filter: (u, v) => v }),
        axis({ label: "a hit, from its trap to its end", size: 72, values: (u, v) => v.map(time) }),
      ],
      cursor: { drag: { x: true, y: false } },
    }, [chart.x].concat(chart.runs.map(r => r.share.map(v => v || null)))];
  }

  const kinds = { over_time: overTime, latency, curve };
  charts.drawAll(chart => chart.id, (chart, width) => kinds[chart.kind](chart, width));

  // Where the page is served, pprof's own view of a profile is a slash behind its file.
  if (location.protocol.startsWith("http")) {
    for (const a of document.querySelectorAll('.files a[href$=".pb.gz"]')) a.href += "/";
  }
})();
