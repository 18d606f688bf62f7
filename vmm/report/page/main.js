// Puts the page together.
const cards = [differencesCard(), timelineCard(), latencyCard(), stagesCard(), instructionsCard(), flameCard(), nestedCard()];
const halves = [vcpuCard(), cacheCard()].filter(Boolean);
const main = document.getElementById('main');
drawTitle(document.getElementById('title'));
main.replaceChildren(drawTiles(), ...[drawNotes()].filter(Boolean), ...cards.filter(Boolean).map((c) => c.node),
  el('div', {class: halves.length === 2 ? 'halves' : 'pair'}, ...halves.map((c) => c.node)));
document.getElementById('sections').append(...[...cards, ...halves].filter(Boolean)
  .map((c) => el('a', {href: `#${c.id}`}, c.title)));
document.getElementById('foot').append('Made by trapline report. This page holds all of its data and loads nothing.');

// In a window that has no size yet there is nothing to draw on: the observer calls again.
const drawAll = () => { if (main.clientWidth > 120) redraws.forEach((redraw) => redraw()); };
drawAll();
let width = main.clientWidth;
new ResizeObserver(() => {
  if (main.clientWidth === width) return;  // a chart made the page longer
  width = main.clientWidth;
  drawAll();
}).observe(main);

const root = document.documentElement;
const system = matchMedia('(prefers-color-scheme: dark)');
document.getElementById('theme').addEventListener('click', () => {
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : system.matches;
  // What the system says anyway is not held against it later.
  if (dark !== system.matches) delete root.dataset.theme;
  else root.dataset.theme = dark ? 'light' : 'dark';
  try {
    if (root.dataset.theme) localStorage.setItem('trapline-theme', root.dataset.theme);
    else localStorage.removeItem('trapline-theme');
  } catch (_) { /* kept for this visit only */ }
});
