// How long exits took: the whole distribution on a logarithmic axis, and its percentiles.
function latencyCard() {
  let by = 'classes';
  const kMost = 12;
  const kBinsAnOctave = 5;
  const marks = [['p50', .5], ['p90', .9], ['p99', .99], ['p999', .999]];

  function rows() {
    const names = new Map();
    profiles.forEach((p, k) => {
      const groups = by === 'latencies' ? Object.entries(p.latencies).map(([label, time]) => ({label, time, count: time.count, cost_ns: 0}))
                                        : p[by];
      for (const g of groups) {
        if (!g.time.count) continue;
        const name = `${g.label} ${g.class || ''}`;  // one label may be of two classes
        const row = names.get(name) || {label: g.label, sub: by === 'registers' ? g.class : '', of: [null, null], cost: 0};
        row.of[k] = g;
        row.cost += g.cost_ns;
        names.set(name, row);
      }
    });
    return [...names.values()].sort((a, b) => b.cost - a.cost).slice(0, kMost);
  }

  // Density over log2(ns): [[middle, share an octave], ...], 0 at both ends.
  function density(time) {
    const bins = new Map();
    for (const [low, high, count] of time.buckets) {
      const bin = Math.floor(Math.log2(Math.max(1, (low + high) / 2)) * kBinsAnOctave);
      bins.set(bin, (bins.get(bin) || 0) + count);
    }
    if (!bins.size) return [];
    const first = d3.min([...bins.keys()]), last = d3.max([...bins.keys()]);
    return d3.range(first - 1, last + 2).map((bin) => [2 ** ((bin + .5) / kBinsAnOctave), (bins.get(bin) || 0) / time.count]);
  }

  function plot(cell, row, x, width) {
    const half = 26, height = two ? 2 * half : 40, base = two ? half : height - 4;
    const svg = d3.create('svg').attr('viewBox', `0 0 ${width} ${height}`).attr('height', height).attr('aria-hidden', 'true');
    svg.append('line').attr('x2', width).attr('y1', base).attr('y2', base).style('stroke', 'var(--line)');
    row.of.forEach((group, k) => {
      if (!group) return;
      const points = density(group.time);
      const reach = two ? half - 3 : height - 8;
      const y = d3.scaleSqrt([0, d3.max(points, (p) => p[1]) || 1], [0, k ? reach : -reach]);
      svg.append('path').attr('d', d3.area().x((p) => x(p[0])).y0(base).y1((p) => base + y(p[1])).curve(d3.curveMonotoneX)(points))
        .style('fill', `var(--c${k})`).attr('opacity', .45);
      for (const [name] of marks) {
        const at = x(Math.max(1, group.time[name]));
        svg.append('line').attr('x1', at).attr('x2', at).attr('y1', base).attr('y2', base + (k ? 1 : -1) * (name === 'p50' ? reach : reach * .5))
          .style('stroke', `var(--c${k})`).attr('stroke-width', name === 'p50' ? 2 : 1.5);
      }
      svg.append('circle').attr('cx', x(Math.max(1, group.time.max))).attr('cy', base + (k ? 4 : -4)).attr('r', 2.5).style('fill', `var(--c${k})`);
    });
    cell.append(withTip(svg.node(), () => [el('b', {}, row.label),
      ...row.of.flatMap((g, k) => (g ? [two ? el('b', {}, ` ${letters[k]}`) : null,
        ...[['min', 'min'], ['mean', 'mean'], ['p50', 'p50'], ['p90', 'p90'], ['p99', 'p99'], ['p99.9', 'p999'], ['max', 'max']]
          .map(([name, key]) => tipRow(`var(--c${k})`, name, formatNs(g.time[key]))),
        tipRow(`var(--c${k})`, 'timed', formatCount(g.time.count))] : []))]));
  }

  const hasLatencies = profiles.some((p) => Object.values(p.latencies).some((l) => l.count));
  const options = [['classes', 'by class'], ['registers', 'by register'], ...(hasLatencies ? [['latencies', 'latencies']] : [])];
  const shown = card('latency', 'How long exits take',
    'Handling time on a logarithmic axis, sleep apart. The tall line is the median; then p90, p99 and p99.9; the dot is the maximum.'
      + (two ? ' A above its line, B below it.' : ''),
    [choice('Of', options, by, (value) => { by = value; shown.redraw(); })],
    (body) => {
      const list = rows();
      if (!list.length) { body.append(el('p', {class: 'muted'}, 'Nothing was timed.')); return; }
      const grid = el('div', {class: 'dist'}, el('span', {class: 'h l'}), el('span', {class: 'h plot'}),
        ...['p50', 'p90', 'p99', 'p99.9', 'max'].map((name) => el('span', {class: 'h'}, name)));
      body.append(grid);
      const cells = list.map((row) => {
        const cell = el('div', {class: 'plot'});
        const counts = row.of.map((g) => (g ? formatCount(g.count) : '0'));
        grid.append(el('div', {class: 'name'}, by === 'latencies' ? row.label.replace(/_/g, ' ') : row.label, el('small', {}, [row.sub, two ? counts.join(' → ') : counts[0]].filter(Boolean).join(' · '))), cell);
        for (const [name, label] of [['p50', 'p50'], ['p90', 'p90'], ['p99', 'p99'], ['p999', 'p99.9'], ['max', 'max']]) {
          grid.append(el('div', {class: 'f', 'data-label': label}, ...row.of.slice(0, profiles.length).map((g, k) =>
            el('span', two ? {class: k ? 'b' : 'a'} : {}, g ? formatNs(g.time[name]) : '–'))));
        }
        return cell;
      });
      const axisCell = el('div', {class: 'plot'});
      grid.append(el('span', {class: 'name'}), axisCell);
      const width = axisCell.clientWidth;
      const times = list.flatMap((row) => row.of.filter(Boolean).map((g) => g.time));
      const x = d3.scaleLog([Math.max(1, d3.min(times, (t) => t.min) / 1.3), Math.max(10, d3.max(times, (t) => t.max) * 1.3)], [2, width - 6]);
      cells.forEach((cell, i) => plot(cell, list[i], x, width));
      const svg = d3.create('svg').attr('viewBox', `0 0 ${width} 24`).attr('height', 24);
      const powers = d3.range(0, 13).map((e) => 10 ** e).filter((v) => v >= x.domain()[0] && v <= x.domain()[1]);
      svg.append('g').attr('class', 'axis').call(d3.axisBottom(x).tickValues(powers)
        .tickFormat((v) => (v < 1e3 ? `${v} ns` : v < 1e6 ? `${v / 1e3} µs` : v < 1e9 ? `${v / 1e6} ms` : `${v / 1e9} s`)).tickSizeOuter(0));
      axisCell.append(svg.node());
    });
  return shown;
}
