// A flame graph, the outermost at the top: the guest's stacks that led to exits, or, where the source has
// none, class, device, register and symbol.
function flameCard() {
  let by = 'count';
  const zoomed = [[], []];  // the path of names that fills the width
  const kRow = 21;
  const warm = ['#f3c59b', '#f0b48a', '#f6d3a6', '#eebd92', '#f2ae7e', '#f7dcb4'];
  const hash = (text) => [...text].reduce((h, c) => (h * 31 + c.charCodeAt(0)) >>> 0, 7);
  const colourOf = (d) => (d.data.exit ? `color-mix(in srgb, ${deviceColour(d.data.exit)} 55%, white)` : warm[hash(d.data.name) % warm.length]);

  function tree(p) {
    const root = {name: 'all', children: new Map(), count: 0, time_ns: 0};
    for (const stack of p.stacks) {
      let at = root;
      root.count += stack.count;
      root.time_ns += stack.time_ns;
      stack.frames.forEach((name, depth) => {
        if (!at.children.has(name)) at.children.set(name, {name, children: new Map(), count: 0, time_ns: 0, exit: ''});
        at = at.children.get(name);
        at.count += stack.count;
        at.time_ns += stack.time_ns;
        if (depth === stack.frames.length - 1 || !p.stacks_sampled) at.exit = stack.device || stack.class;
      });
    }
    return root;
  }

  function laidOut(p) {
    const root = d3.hierarchy(tree(p), (d) => [...d.children.values()]);
    // Each frame's own value: what its children do not have.
    root.each((d) => { d.value = d.data[by === 'count' ? 'count' : 'time_ns']; });
    root.sort((a, b) => b.value - a.value);
    return d3.partition()(root);
  }

  function chart(cell, p, k) {
    if (!p.stacks.length) { cell.append(el('p', {class: 'muted'}, 'No exits.')); return; }
    const root = laidOut(p);
    let focus = root;
    for (const name of zoomed[k]) focus = (focus.children || []).find((d) => d.data.name === name) || focus;
    const zoomTo = (d) => { zoomed[k] = d.ancestors().reverse().slice(1).map((one) => one.data.name); hideTip(); shown.redraw(); };
    cell.append(el('p', {class: 'crumbs'}, focus === root ? 'Click a frame to zoom in.'
      : [el('button', {type: 'button', onclick: () => zoomTo(root)}, 'all'), ` › ${zoomed[k].join(' › ')}`]));
    const width = cell.clientWidth;
    const x = d3.scaleLinear([focus.x0, focus.x1], [0, width]);
    const visible = root.descendants().filter((d) => d.x1 > focus.x0 && d.x0 < focus.x1 && x(d.x1) - x(d.x0) > .7);
    const height = (d3.max(visible, (d) => d.depth) + 1) * kRow;
    const svg = d3.create('svg').attr('class', 'flame').attr('viewBox', `0 0 ${width} ${height}`).attr('height', height)
      .style('overflow', 'hidden').attr('role', 'img').attr('aria-label', 'Flame graph of exits');
    const format = by === 'count' ? (n) => `${formatCount(n)} ${p.stacks_sampled ? 'sampled ' : ''}exits` : formatNs;
    const g = svg.selectAll('g').data(visible).join('g').attr('class', (d) => (d.depth < focus.depth ? 'dim' : null));
    const left = (d) => Math.max(0, x(d.x0)), right = (d) => Math.min(width, x(d.x1));
    g.append('rect').attr('x', left).attr('y', (d) => d.depth * kRow).attr('width', (d) => Math.max(0, right(d) - left(d))).attr('height', kRow - 1)
      .attr('rx', 2).style('fill', (d) => (d.depth ? colourOf(d) : '#d5dae1'));
    g.append('text').attr('x', (d) => left(d) + 4).attr('y', (d) => d.depth * kRow + 14).text((d) => {
      const letters = Math.floor((right(d) - left(d) - 8) / 7);
      return letters < 3 ? '' : d.data.name.length <= letters ? d.data.name : `${d.data.name.slice(0, letters - 1)}…`;
    });
    g.each(function (d) {
      this.addEventListener('click', () => zoomTo(d));
      withTip(this, () => [el('b', {}, d.data.name), el('div', {}, `${format(d.value)}, ${formatShare(d.value, root.value)} of all`)]);
    });
    cell.append(svg.node());
  }

  const sampled = profiles.some((p) => p.stacks_sampled);
  const shown = card('flame', sampled ? 'Stacks that lead to exits' : 'Exits by class, device, register and symbol',
    sampled ? 'Guest call stacks of a sample of the exits, the outermost at the top; what exited is at the bottom.'
            : 'The input has no call stacks (of a run, --profile-stacks takes them): each exit by what it was and where.',
    [choice('Width', [['count', 'by count'], ['time', 'by time']], by, (value) => { by = value; shown.redraw(); })],
    (body) => pair(body, chart));
  return shown;
}
