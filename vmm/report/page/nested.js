// What nesting would cost: traps to the host by exit of the inner guest, and by register.
function nestedCard() {
  if (!profiles.some((p) => p.nested.length)) return null;
  let which = profiles.findIndex((p) => p.nested.length), exit = '';
  const per = (row, field) => (row.exit === 'foreign' ? formatCount(row[field]) : (row[field] / Math.max(1, row.exits)).toFixed(1));
  const head = (...names) => el('thead', {}, el('tr', {}, ...names.map((name, i) => el('th', {class: i ? 'r' : null, scope: 'col'}, name))));
  const cell = (label, text) => el('td', {class: 'r', 'data-label': label}, text);
  const label = (row) => row.exit.replace(/_/g, ' ');

  function registers(rows) {
    const sums = d3.rollups(rows.flatMap((row) => row.traps), (traps) => ({nv: d3.sum(traps, (t) => t.nv), nv2: d3.sum(traps, (t) => t.nv2)}),
      (trap) => `${trap.name} ${trap.access}`.trim());
    return sums.filter(([, sum]) => sum.nv).sort((a, b) => d3.descending(a[1].nv, b[1].nv)).slice(0, 20);
  }

  const input = two ? [choice('Input', [[0, 'A'], [1, 'B']], which, (value) => { which = value; exit = ''; shown.redraw(); })] : [];
  const shown = card('nested', 'What nesting would cost',
    'Traps to the host that an exit of the inner guest would take under FEAT_NV and FEAT_NV2. A row chooses whose registers are below.', input, (body) => {
      const rows = profiles[which].nested.filter((row) => row.exits || row.moved || (row.exit === 'foreign' && row.traps_nv));
      if (!rows.length) { body.append(el('p', {class: 'muted'}, 'No inner guest ran.')); return; }
      rows.sort((a, b) => d3.ascending(a.exit === 'foreign', b.exit === 'foreign') || d3.descending(a.exits, b.exits));
      body.append(el('table', {}, head('Exit', 'Exits', 'NV', 'NV2', 'Stays', 'ERET', 'Instructions'),
        el('tbody', {}, ...rows.map((row) => el('tr', {},
          el('td', {class: 'wide'}, el('button', {type: 'button', 'aria-pressed': String(row.exit === exit),
            onclick: () => { exit = exit === row.exit ? '' : row.exit; shown.redraw(); }}, label(row)),
            row.exit === 'foreign' ? el('span', {class: 'sub'}, 'of no exit: interrupts and scheduling; sums') : null,
            row.moved ? el('span', {class: 'sub'}, `${formatCount(row.moved)} moved to another CPU, not counted`) : null),
          cell('Exits', row.exit === 'foreign' ? '' : formatCount(row.exits)), cell('NV', per(row, 'traps_nv')), cell('NV2', per(row, 'traps_nv2')),
          cell('Stays', per(row, 'stays_at_el2')), cell('ERET', per(row, 'erets')), cell('Instructions', per(row, 'instructions')))))));
      const chosen = exit ? rows.filter((row) => row.exit === exit) : rows.filter((row) => row.exit !== 'foreign');
      body.append(el('h3', {}, exit ? `Registers of ${label(chosen[0])}` : 'Registers, over all exits'),
        el('table', {}, head('Register or instruction', 'NV', 'NV2'), el('tbody', {}, ...registers(chosen).map(([name, sum]) =>
          el('tr', {}, el('td', {class: 'wide'}, el('code', {}, name)), cell('NV', formatCount(sum.nv)), cell('NV2', formatCount(sum.nv2)))))));
    });
  return shown;
}
