// Exits over time, stacked by device, register or class.
function timelineCard() {
  if (!profiles.some((p) => p.timeline.series.length)) return null;
  let by = 'device';
  const hidden = new Set();
  const nameOf = (s) => (by === 'class' ? s.class : by === 'device' ? s.device_label : s.register_label);
  const colourOf = (name) => (by === 'class' ? classColour : by === 'device' ? deviceColour : registerColour)(name);

  // [name, counts] by total, the largest first; what has no colour of its own together, last.
  function layers(p) {
    const sums = new Map();
    for (const s of p.timeline.series) {
      const name = colourOf(nameOf(s)) === grey ? 'all others' : nameOf(s);
      const counts = sums.get(name) || new Array(s.counts.length).fill(0);
      s.counts.forEach((n, i) => { counts[i] = (counts[i] || 0) + n; });
      sums.set(name, counts);
    }
    return [...sums].map(([name, counts]) => ({name, counts, total: d3.sum(counts)}))
      .sort((a, b) => (a.name === 'all others') - (b.name === 'all others') || b.total - a.total);
  }

  const shown = card('timeline', 'Exits over time', 'Exits a second. Point at the chart for the figures, at the legend to leave something out.',
    [choice('Stacked by', [['device', 'by device'], ['register', 'by register'], ['class', 'by class']], by,
            (value) => { by = value; hidden.clear(); shown.redraw(); })],
    (body) => {
      const all = profiles.map(layers);
      const rateOf = (p) => 1e9 / (p.timeline.slice_ns || 1);
      const tops = all.map((ls, k) => {
        const visible = ls.filter((l) => !hidden.has(l.name));
        const n = d3.max(ls, (l) => l.counts.length) || 0;
        return (d3.max(d3.range(n), (i) => d3.sum(visible, (l) => l.counts[i] || 0)) || 0) * rateOf(profiles[k]);
      });
      const longest = d3.max(all, (ls, k) => (d3.max(ls, (l) => l.counts.length) || 0) * profiles[k].timeline.slice_ns);
      pair(body, (cell, p, k) => chart(cell, p, all[k], d3.max(tops) || 1, longest, rateOf(p)));
      const totals = new Map();
      for (const ls of all) for (const l of ls) totals.set(l.name, (totals.get(l.name) || 0) + l.total);
      body.append(el('div', {class: 'legend'}, ...[...totals].map(([name, total]) => el('button', {
        type: 'button', 'aria-pressed': String(!hidden.has(name)),
        onclick: () => { if (!hidden.delete(name)) hidden.add(name); shown.redraw(); },
      }, el('i', {style: `background:${colourOf(name)}`}), el('span', {}, name), el('span', {class: 'n'}, formatCount(total))))));
    });

  function chart(cell, p, ls, top, longest, rate) {
    const visible = ls.filter((l) => !hidden.has(l.name));
    const n = d3.max(ls, (l) => l.counts.length) || 0;
    const width = cell.clientWidth, height = width < 500 ? 210 : 270;
    const m = {left: 46, right: 8, top: 10, bottom: 26};
    const x = d3.scaleLinear([0, longest], [m.left, width - m.right]);
    const y = d3.scaleLinear([0, top], [height - m.bottom, m.top]).nice(4);
    const svg = d3.create('svg').attr('viewBox', `0 0 ${width} ${height}`).attr('height', height).attr('role', 'img')
      .attr('aria-label', `Exits a second over ${formatNs(p.duration_ns)}`);
    svg.append('g').attr('class', 'grid').attr('transform', `translate(${m.left},0)`)
      .call(d3.axisLeft(y).ticks(4).tickSize(-(width - m.left - m.right)).tickFormat((v) => (v ? formatRate(v) : '0')))
      .call((g) => g.select('.domain').remove());
    svg.append('g').attr('class', 'axis').attr('transform', `translate(0,${height - m.bottom})`)
      .call(d3.axisBottom(x).ticks(Math.max(2, Math.floor(width / 110))).tickSizeOuter(0).tickFormat((v) => (v ? formatTick(v) : '0')));
    const stack = d3.stack().keys(d3.range(visible.length)).value((i, k) => (visible[k].counts[Math.min(i, n - 1)] || 0) * rate);
    const at = (i) => x(i * p.timeline.slice_ns);
    const area = d3.area().x((_, i) => at(i)).y0((d) => y(d[0])).y1((d) => y(d[1])).curve(d3.curveStepAfter);
    svg.append('g').selectAll('path').data(stack(d3.range(n + 1))).join('path')
      .attr('d', area).style('fill', (d) => colourOf(visible[d.key].name)).style('stroke', 'var(--surface)').style('stroke-width', width / n > 3 ? .5 : 0);
    const cursor = svg.append('line').attr('y1', m.top).attr('y2', height - m.bottom).style('stroke', 'var(--text)').attr('opacity', 0);
    cell.append(svg.node());
    svg.node().addEventListener('pointermove', (event) => {
      const px = event.clientX - svg.node().getBoundingClientRect().left;
      const i = Math.floor(x.invert(px) / p.timeline.slice_ns);
      if (i < 0 || i >= n) { cursor.attr('opacity', 0); hideTip(); return; }
      cursor.attr('opacity', .6).attr('x1', px).attr('x2', px);
      const rows = visible.map((l) => [l.name, l.counts[i] || 0]).filter(([, count]) => count).sort((a, b) => b[1] - a[1]);
      showTip(event, el('b', {}, `${formatNs(i * p.timeline.slice_ns)} – ${formatNs((i + 1) * p.timeline.slice_ns)}: ${formatCount(d3.sum(rows, (r) => r[1]))} exits`),
        ...rows.slice(0, 8).map(([name, count]) => tipRow(colourOf(name), name, formatCount(count))));
    });
    svg.node().addEventListener('pointerleave', () => { cursor.attr('opacity', 0); hideTip(); });
  }
  return shown;
}
