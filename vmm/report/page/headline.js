// The top of the page: what it is of, and the few figures that one remembers.
const perSecond = (p) => (p.duration_ns > 0 ? p.exits / p.duration_ns * 1e9 : 0);
const splitSum = (p) => p.shares.guest + p.shares.exit + p.shares.idle;

const vcpuCount = (p) => p.vcpus.length || new Set(p.instructions.flatMap((r) => r.vcpus)).size;

function costliest(p) {
  const top = p.instructions.find((i) => i.pc !== undefined);
  if (!top || !(p.cost_ns > 0)) return null;
  const what = [top.class, top.device, top.register].filter(Boolean).join(' ');
  return el('p', {class: 'costliest'}, 'The costliest is ',
    top.text ? el('code', {}, top.text) : 'the instruction',
    ' at ', el('code', {}, top.symbol || top.pc), ` (${what}): `,
    `${formatCount(top.count)} times, ${formatNs(top.p50)} at the median, `,
    el('b', {}, `${formatShare(top.cost_ns, p.cost_ns)} of all handling`), '.');
}

function titleOf() {
  const [a, b] = profiles;
  if (!two) {
    return el('h1', {}, el('em', {}, `${formatCount(a.exits)} exits`), ` in ${formatNs(a.duration_ns)}`,
      splitSum(a) > 0 ? [' took ', el('em', {}, formatShare(a.shares.exit, splitSum(a))), ' of the vCPUs’ time']
                      : [' took ', el('em', {}, formatNs(a.cost_ns)), ' to handle']);
  }
  return el('h1', {}, 'From A to B: ', el('em', {}, `exits ${formatChange(a.exits, b.exits)}`), ', ',
    el('em', {}, `time to handle them ${formatChange(a.cost_ns, b.cost_ns)}`));
}

function drawTitle(target) {
  const inputs = el('div', {class: 'inputs'}, ...profiles.map((p, i) => el('span', {},
    two ? [tag(i), ' '] : null, el('b', {}, fileName(p)), ` · ${p.source} · ${formatNs(p.duration_ns)} · `,
    `${vcpuCount(p)} vCPU${vcpuCount(p) === 1 ? '' : 's'} · `,
    p.timed_every > 1 ? `one exit in ${p.timed_every} timed, all counted` : 'every exit timed')));
  target.append(titleOf(), two ? '' : costliest(profiles[0]) || '', inputs);
  document.title = `${profiles.map(fileName).join(' and ')}: exit report`;
}

// A long name breaks behind its underscores.
const breakable = (name) => name.split(/(?<=_)/).flatMap((part) => [part, el('wbr')]);

function tile(name, value, note, kind = 'value') {
  const shown = profiles.map((p, i) => el('div', {class: kind}, two ? [tag(i), ' '] : null, value(p)));
  return el('div', {class: 'tile'}, el('dt', {}, name), el('dd', {}, shown),
    note ? el('dd', {class: 'note'}, two ? '' : note(profiles[0])) : null);
}

function drawTiles() {
  // Of a handful of exits a percentile says little.
  const counted = (p) => (p.classes.some((c) => c.count >= 100) ? p.classes.filter((c) => c.count >= 100) : p.classes);
  const slow = (p) => d3.max(counted(p), (c) => c.time.p99) || 0;
  const slowest = (p) => counted(p).find((c) => c.time.p99 === slow(p));
  const top = (p) => p.registers[0];
  return el('dl', {class: 'tiles'},
    tile('Exits', (p) => formatCount(p.exits), (p) => `${formatRate(perSecond(p))} a second`),
    tile('Handling, in all', (p) => formatNs(p.cost_ns),
         (p) => `${formatNs(p.exits ? p.cost_ns / p.exits : 0)} an exit on average`),
    tile('Costliest register', (p) => (top(p) ? [...breakable(top(p).label), ' ', el('small', {}, formatShare(top(p).cost_ns, p.cost_ns))] : '–'),
         (p) => (top(p) ? `${formatCount(top(p).count)} exits, ${formatNs(top(p).cost_ns)}` : ''), 'value name'),
    tile('Slowest class at p99', (p) => (slowest(p) ? [formatNs(slow(p)), ' ', el('small', {}, slowest(p).label)] : '–'),
         (p) => (slowest(p) ? `p50 ${formatNs(slowest(p).time.p50)}, max ${formatNs(slowest(p).time.max)}` : '')),
    profiles.some((p) => p.data_aborts > 0)
      ? tile('Data aborts without syndrome', (p) => formatShare(p.isv0, p.data_aborts),
             (p) => `ISV=0: ${formatCount(p.isv0)} of ${formatCount(p.data_aborts)}`)
      : null);
}

function drawNotes() {
  const of = new Map();  // a note -> whose it is
  profiles.forEach((p, i) => p.notes.forEach((note) => of.set(note, [...(of.get(note) || []), i])));
  const notes = [...of].map(([note, whose]) => el('p', {}, two ? whose.flatMap((i) => [tag(i), ' ']) : null, note));
  return notes.length ? el('div', {class: 'notes', role: 'note'}, notes) : null;
}
