// What all charts use: the data, numbers as text, colours, elements, the tooltip.
const data = JSON.parse(document.getElementById('data').textContent);
const profiles = data.profiles;
const two = profiles.length === 2;
const letters = ['A', 'B'];

const nbsp = '\u00a0';  // a number and its unit stay on one line
const formatCount = d3.format(',');
const digits3 = (x) => (x < 9.995 ? x.toFixed(2) : x < 99.95 ? x.toFixed(1) : x.toFixed(0));
function formatNs(ns) {
  const size = Math.abs(ns);
  if (size < 999.5) return `${Math.round(ns)}${nbsp}ns`;
  const [scale, unit] = size < 999.5e3 ? [1e3, 'µs'] : size < 999.5e6 ? [1e6, 'ms'] : [1e9, 's'];
  return `${ns < 0 ? '−' : ''}${digits3(size / scale)}${nbsp}${unit}`;
}
// Of an axis: without zeros at the end.
const formatTick = (ns) => formatNs(ns).replace(/\.(\d*?)0+(?=\u00a0)/, (_, digits) => (digits ? `.${digits}` : ''));
function formatShare(part, whole) {
  if (!(whole > 0)) return '–';
  const percent = 100 * part / whole;
  if (percent === 0) return `0${nbsp}%`;
  if (percent < 0.1) return `<${nbsp}0.1${nbsp}%`;
  return `${percent < 9.95 ? percent.toFixed(1) : percent.toFixed(0)}${nbsp}%`;
}
const formatRate = (x) => (x < 1000 ? x.toFixed(0) : d3.format('.3~s')(x));
// How b compares with a, as "+12 %", "2.40×" or "230× less".
function formatChange(a, b) {
  if (a === b) return '±0';
  if (a === 0) return 'new';
  if (b === 0) return 'gone';
  if (a / b >= 10) return `${digits3(a / b)}× less`;
  if (b / a >= 2) return `${digits3(b / a)}×`;
  const percent = 100 * (b / a - 1);
  const text = Math.abs(percent) < 9.95 ? Math.abs(percent).toFixed(1) : Math.abs(percent).toFixed(0);
  return `${percent < 0 ? '−' : '+'}${text}${nbsp}%`;
}

// Texts of a guest's (names, notes) go in as text nodes only.
function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'style') node.style.cssText = value;
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat(2).filter((child) => child !== null && child !== undefined));
  return node;
}

// Devices, classes and stages keep their colour in all charts of the page; what has none of its own is grey.
const kColours = 9;
const grey = 'var(--c9)';
function colours(names) {
  const of = new Map();
  for (const name of names) {
    if (!of.has(name) && of.size < kColours) of.set(name, `var(--c${of.size})`);
  }
  return (name) => of.get(name) || grey;
}
const byCount = (groups) => [...groups].sort((a, b) => b.count - a.count);
const deviceColour = colours(profiles.flatMap((p) => byCount(p.devices).map((g) => g.label)));
const classColour = colours(profiles.flatMap((p) => byCount(p.classes).map((g) => g.label)));
const registerColour = colours(profiles.flatMap((p) => byCount(p.registers).map((g) => g.label)));

const tip = document.getElementById('tip');
function showTip(event, ...content) {
  tip.replaceChildren(...content.flat().filter(Boolean));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = Math.min(event.clientX + 14, innerWidth - box.width - 8);
  const below = event.clientY + 16 + box.height < innerHeight;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${Math.max(8, below ? event.clientY + 16 : event.clientY - box.height - 12)}px`;
}
const hideTip = () => { tip.hidden = true; };
addEventListener('scroll', hideTip, {passive: true});
function withTip(node, content) {
  node.addEventListener('pointermove', (event) => showTip(event, content()));
  node.addEventListener('pointerleave', hideTip);
  return node;
}
const tipRow = (colour, name, value) =>
  el('div', {class: 'r'}, el('i', {style: `background:${colour}`}), el('span', {}, name), el('span', {class: 'n'}, value));

// Buttons of which one is pressed.
function choice(label, options, now, change) {
  const box = el('div', {class: 'choice', role: 'group', 'aria-label': label});
  for (const [value, text] of options) {
    box.append(el('button', {
      type: 'button', 'aria-pressed': String(value === now),
      onclick: (event) => {
        for (const other of box.children) other.setAttribute('aria-pressed', String(other === event.target));
        change(value);
      },
    }, text));
  }
  return box;
}

// A card with a heading; `draw(body)` fills it, now, on a change, and when the width changes.
const redraws = [];
function card(id, title, lead, tools, draw) {
  const body = el('div', {});
  const node = el('section', {class: 'card', id},
    el('div', {class: 'head'}, el('h2', {}, title), el('div', {class: 'tools'}, ...tools),
       lead ? el('p', {class: 'lead'}, lead) : null),
    body);
  const redraw = () => { body.replaceChildren(); draw(body); };
  redraws.push(redraw);
  return {node, redraw, title, id};
}
const tag = (i) => el('span', {class: `tag ${i ? 'b' : 'a'}`}, letters[i]);
const fileName = (p) => p.file.split('/').pop();
// The same chart for each input, beside each other.
function pair(body, draw) {
  const box = el('div', {class: two ? 'pair two' : 'pair'});
  body.append(box);
  const cells = profiles.map((p, i) => {
    const cell = el('div', {}, two ? el('p', {class: 'which'}, tag(i), ' ', fileName(p)) : null);
    box.append(cell);
    return cell;
  });
  cells.forEach((cell, i) => draw(cell, profiles[i], i));
}
function legend(items) {
  return el('div', {class: 'legend'}, ...items.map(([colour, name, n]) =>
    el('span', {class: 'key'}, el('i', {style: `background:${colour}`}), el('span', {}, name), n ? el('span', {class: 'n'}, n) : null)));
}
