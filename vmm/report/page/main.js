// Puts the page together.
const cards = [differencesCard(), timelineCard(), latencyCard(), stagesCard(), instructionsCard(), flameCard()];
const halves = [vcpuCard(), cacheCard()].filter(Boolean);
const main = document.getElementById('main');
drawTitle(document.getElementById('title'));
main.replaceChildren(drawTiles(), ...[drawNotes()].filter(Boolean), ...cards.filter(Boolean).map((c) => c.node),
  el('div', {class: halves.length === 2 ? 'halves' : 'pair'}, ...halves.map((c) => c.node)));
document.getElementById('sections').append(...[...cards, ...halves].filter(Boolean)
  .map((c) => el('a', {href: `#${c.id}`}, c.title)));
document.getElementById('foot').append('Made by trapline report. This page holds all of its data and loads nothing.');

const drawAll = () => redraws.forEach((redraw) => redraw());
drawAll();
let width = main.clientWidth;
new ResizeObserver(() => {
  if (main.clientWidth === width) return;  // a chart made the page longer
  width = main.clientWidth;
  drawAll();
}).observe(main);

const root = document.documentElement;
document.getElementById('theme').addEventListener('click', () => {
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
  try { localStorage.setItem('trapline-theme', root.dataset.theme); } catch (_) { /* kept for this visit only */ }
});
