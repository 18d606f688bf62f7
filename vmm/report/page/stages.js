// Where the time goes: the stages of an exit, and each vCPU's time.
function bars(rows, colourOf) {
  return el('div', {class: 'bars'}, ...rows.flatMap((row) => [
    el('div', {class: 'name'}, row.label, row.sub ? el('small', {}, row.sub) : null),
    el('div', {class: 'value'}, ...row.values.map((value) => el('div', {}, value))),
    el('div', {class: 'plot'}, ...row.stacks.map((parts) => {
      const sum = d3.sum(parts, (part) => part.ns);
      return el('div', {class: 'stack'}, ...parts.filter((part) => part.ns > 0).map((part) => withTip(
        el('i', {style: `flex:${part.ns / sum} 0 0;background:${colourOf(part.name)}`}),
        () => [el('b', {}, row.label), tipRow(colourOf(part.name), part.name, `${formatNs(part.ns)}, ${formatShare(part.ns, sum)}`)])));
    })),
  ]));
}

function stagesCard() {
  let by = 'classes';
  const names = [...new Set(profiles.flatMap((p) => p.classes.flatMap((c) => Object.keys(c.stages_ns))))];
  if (!names.length) return null;
  const known = ['translate', 'fetch', 'decode', 'lookup', 'emulate'];
  names.sort((a, b) => (known.indexOf(a) + 1 || 99) - (known.indexOf(b) + 1 || 99));
  const colour = colours(names);
  const colourOf = (name) => (name === 'rest' ? 'var(--idle)' : colour(name));
  const partsOf = (g) => {
    const per = (ns) => ns / Math.max(1, g.time.count);
    const parts = names.map((name) => ({name, ns: per(g.stages_ns[name] || 0)}));
    return [...parts, {name: 'rest', ns: Math.max(0, g.time.mean - d3.sum(parts, (part) => part.ns))}];
  };
  const shown = card('stages', 'What an exit’s time is spent on', 'The stages’ shares of the mean handling time; the mean is at the right.',
    [choice('Of', [['classes', 'by class'], ['registers', 'by register']], by, (value) => { by = value; shown.redraw(); })],
    (body) => {
      const groups = profiles[0][by].filter((g) => g.time.count).slice(0, 12);
      body.append(bars(groups.map((g) => {
        const both = [g, two ? profiles[1][by].find((other) => other.label === g.label && other.class === g.class) : null].filter((one) => one && one.time.count);
        return {label: g.label, sub: g.sleep_ns > 0 ? `and ${formatNs(g.sleep_ns)} asleep in all` : '',
                stacks: both.map(partsOf), values: both.map((one) => formatNs(one.time.mean))};
      }), colourOf));
      body.append(legend([...names, 'rest'].map((name) => [colourOf(name), name])));
      if (two) body.append(el('p', {class: 'muted', style: 'font-size:13px;margin-top:6px'}, 'A above, B below.'));
    });
  return shown;
}

function vcpuCard() {
  if (!profiles.some((p) => p.vcpus.length)) return null;
  const names = [['guest', 'guest'], ['exit', 'exit handling'], ['idle', 'idle']];
  const colourOf = (name) => `var(--${names.find(([, text]) => text === name)[0]})`;
  return card('vcpus', 'vCPU time', 'Running guest code, handling its exits, asleep.', [], (body) => {
    pair(body, (cell, p) => {
      cell.append(bars(p.vcpus.map((v) => ({
        label: `vCPU ${v.vcpu}`, stacks: [names.map(([key, name]) => ({name, ns: v[`${key}_ns`]}))],
        values: [`${formatShare(v.exit_ns, v.guest_ns + v.exit_ns + v.idle_ns)} exits`],
      })), colourOf));
    });
    body.append(legend(names.map(([, name]) => [colourOf(name), name])));
  });
}
