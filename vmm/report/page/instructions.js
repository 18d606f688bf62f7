// The guest instructions that exit: sorted, filtered.
function instructionsCard() {
  const first = () => (innerWidth <= 760 ? 12 : 25);
  const columns = [
    {key: 'symbol', name: 'Where', text: true}, {key: 'exit', name: 'Exit', text: true}, {key: 'count', name: 'Count'},
    {key: 'p50', name: 'p50'}, {key: 'p99', name: 'p99'}, {key: 'max', name: 'Max'}, {key: 'cost_ns', name: 'Cost'},
  ];
  let which = 0, sort = 'cost_ns', down = true, filter = '', all = false;
  for (const p of profiles) {
    for (const row of p.instructions) row.exit = [row.class, row.device, row.register].filter(Boolean).join(' ');
  }
  const setSort = (key) => {
    down = sort === key ? !down : !columns.find((c) => c.key === key).text;
    sort = key;
    shown.redraw();
  };
  const select = el('select', {class: 'sort', 'aria-label': 'Sort by', onchange: (event) => { sort = ''; setSort(event.target.value); }},
    ...columns.map((c) => el('option', {value: c.key, selected: c.key === sort}, `by ${c.name.toLowerCase()}`)));
  const input = el('input', {class: 'filter', type: 'search', placeholder: 'Filter: symbol, register, text …', 'aria-label': 'Filter',
                             oninput: (event) => { filter = event.target.value.toLowerCase(); shown.redraw(); }});
  const tools = [input, select];
  if (two) tools.unshift(choice('Input', [[0, 'A'], [1, 'B']], 0, (value) => { which = value; shown.redraw(); }));

  const shareBar = (part, whole, colour) => el('span', {class: 'share', 'aria-hidden': 'true'},
    el('i', {style: `width:${whole > 0 ? Math.max(.5, 100 * part / whole) : 0}%;background:${colour}`}));

  function line(p, row) {
    const other = row.pc === undefined;
    return el('tr', {},
      el('td', {class: 'sym wide'}, el('code', {}, other ? 'all that found no room of their own' : row.symbol || row.pc),
        el('span', {class: 'sub mono'}, [row.text, row.symbol ? row.pc : ''].filter(Boolean).join('  ·  '))),
      el('td', {class: 'wide'}, row.exit, row.isv === 0 ? [' ', el('span', {class: 'tag', title: 'no syndrome: the instruction was decoded'}, 'ISV=0')] : null,
        el('span', {class: 'sub'}, [row.vcpus.length < p.vcpus.length ? `vCPU ${row.vcpus.join(', ')}` : '',
          row.sleep_ns > 0 ? `asleep ${formatNs(row.sleep_ns)}` : '', row.to_user > 0 ? `${formatCount(row.to_user)} to user space` : '']
          .filter(Boolean).join(' · '))),
      el('td', {class: 'r', 'data-label': 'Count'}, `${formatCount(row.count)} · ${formatShare(row.count, p.exits)}`, shareBar(row.count, p.exits, 'var(--c0)')),
      el('td', {class: 'r', 'data-label': 'p50'}, formatNs(row.p50)),
      el('td', {class: 'r', 'data-label': 'p99'}, formatNs(row.p99)),
      el('td', {class: 'r', 'data-label': 'Max'}, formatNs(row.max)),
      el('td', {class: 'r', 'data-label': 'Cost'}, `${formatNs(row.cost_ns)} · ${formatShare(row.cost_ns, p.cost_ns)}`, shareBar(row.cost_ns, p.cost_ns, 'var(--c1)')));
  }

  const shown = card('instructions', 'Hottest instructions',
    'Cost: the mean handling time times the count. Counts are exact.', tools, (body) => {
      const p = profiles[which];
      const text = (row) => `${row.symbol || ''} ${row.pc || ''} ${row.exit} ${row.text || ''} isv=${row.isv}`.toLowerCase();
      const rows = p.instructions.filter((row) => text(row).includes(filter))
        .sort((a, b) => (down ? -1 : 1) * d3.ascending(a[sort] || '', b[sort] || ''));
      const some = all ? rows : rows.slice(0, first());
      body.append(el('table', {},
        el('thead', {}, el('tr', {}, ...columns.map((c) => el('th', {
          class: c.text ? null : 'r', scope: 'col', 'aria-sort': c.key === sort ? (down ? 'descending' : 'ascending') : null,
        }, el('button', {type: 'button', onclick: () => setSort(c.key)}, c.name, c.key === sort ? (down ? ' ▾' : ' ▴') : ''))))),
        el('tbody', {}, ...some.map((row) => line(p, row)))));
      if (!rows.length) body.append(el('p', {class: 'muted', style: 'padding-top:10px'}, 'No instruction matches.'));
      if (rows.length > some.length) {
        body.append(el('button', {class: 'all', type: 'button', onclick: () => { all = true; shown.redraw(); }}, `Show all ${formatCount(rows.length)}`));
      }
      if (p.more_instructions) {
        body.append(el('p', {class: 'muted', style: 'padding-top:8px;font-size:13px'},
          `${formatCount(p.more_instructions)} cheaper ones are not on this page; --format csv has all.`));
      }
    });
  return shown;
}
