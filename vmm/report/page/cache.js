// What the decoded-instruction cache did, and what else was counted.
function cacheCard() {
  if (!profiles.some((p) => Object.keys(p.icache).length || Object.keys(p.counters).length)) return null;
  const cached = profiles.some((p) => Object.keys(p.icache).length);
  const [title, lead] = cached ? ['Decoded-instruction cache', 'Of the exits whose instruction had to be known.'] : ['Also counted', ''];
  return card('cache', title, lead, [], (body) => {
    pair(body, (cell, p) => {
      const {hits = 0, misses = 0, ...rest} = p.icache;
      if (hits + misses) {
        const parts = [{name: 'hits', ns: hits, colour: 'var(--c2)'}, {name: 'misses', ns: misses, colour: 'var(--c1)'}];
        cell.append(
          el('p', {}, el('b', {}, formatShare(hits, hits + misses)), ` of ${formatCount(hits + misses)} lookups hit`),
          el('div', {class: 'stack', style: 'margin-top:6px'}, ...parts.map((part) => withTip(
            el('i', {style: `flex:${part.ns / (hits + misses)} 0 0;background:${part.colour}`}),
            () => [tipRow(part.colour, part.name, formatCount(part.ns))]))),
          legend(parts.map((part) => [part.colour, part.name, formatCount(part.ns)])));
      } else if (Object.keys(p.icache).length) {
        cell.append(el('p', {class: 'muted'}, 'No exit needed it: every data abort had a syndrome.'));
      }
      const facts = [...Object.entries(rest), ...Object.entries(p.counters)];
      if (facts.length) {
        cell.append(el('dl', {class: 'facts'}, ...facts.flatMap(([name, n]) =>
          [el('dt', {}, name.replace(/_/g, ' ')), el('dd', {}, formatCount(n))])));
      }
    });
  });
}
