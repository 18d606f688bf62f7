// Two inputs: what changed, the most first.
function differencesCard() {
  if (!two) return null;
  let of = 'registers', by = 'cost';
  const kMost = 15;
  const shown = card('differences', 'What changed from A to B',
    'Ranked by the size of the change. Orange: B has more; green: B has less.',
    [choice('Of', [['classes', 'classes'], ['registers', 'registers'], ['instructions', 'instructions']], of,
            (value) => { of = value; shown.redraw(); }),
     choice('Ranked by', [['cost', 'cost'], ['count', 'count']], by, (value) => { by = value; shown.redraw(); })],
    (body) => {
      const value = (d) => (by === 'cost' ? d.cost_ns : d.count);
      const format = by === 'cost' ? formatNs : formatCount;
      const change = (d) => value(d)[1] - value(d)[0];
      const ranked = [...data.differences[of]].sort((x, y) => Math.abs(change(y)) - Math.abs(change(x)))
        .filter((d) => change(d) !== 0).slice(0, kMost);
      const most = d3.max(ranked, (d) => Math.abs(change(d))) || 1;
      if (!ranked.length) { body.append(el('p', {class: 'muted'}, 'Nothing changed.')); return; }
      const grid = el('div', {class: 'diff'}, el('span', {class: 'h l'}, of.slice(0, of === 'classes' ? -2 : -1)), el('span', {class: 'h'}),
        el('span', {class: 'h'}, 'A'), el('span', {class: 'h'}, 'B'), el('span', {class: 'h'}, 'change'));
      for (const d of ranked) {
        const direction = change(d) > 0 ? 'more' : 'less';
        const sign = change(d) > 0 ? '+' : '−';
        const sub = of === 'instructions' ? [d.text, [d.class, d.device, d.register].filter(Boolean).join(' ')].filter(Boolean).join(' · ')
                                          : of === 'registers' ? d.class : '';
        grid.append(
          el('div', {class: 'name'}, of === 'instructions' ? el('code', {}, d.label) : d.label, sub ? el('small', {}, sub) : null),
          el('div', {class: 'plot', 'aria-hidden': 'true'}, el('i', {class: direction, style: `width:${50 * Math.abs(change(d)) / most}%`})),
          el('div', {class: 'f', 'data-label': 'A'}, format(value(d)[0])),
          el('div', {class: 'f', 'data-label': 'B'}, format(value(d)[1])),
          el('div', {class: `f ${direction}`, 'data-label': 'change'},
             `${sign}${format(Math.abs(change(d)))} (${formatChange(value(d)[0], value(d)[1])})`));
      }
      body.append(grid);
      const rest = data.differences[of].length - ranked.length;
      if (rest > 0) body.append(el('p', {class: 'muted', style: 'margin-top:8px;font-size:13px'}, `and ${formatCount(rest)} that changed less or not`));
    });
  return shown;
}
