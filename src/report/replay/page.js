'use strict';
(() => {
const data = JSON.parse(document.getElementById('replay').textContent);
const {scene, casts} = data, {plan, movers, columns, lines} = scene;
const K = movers.length, T = data.slots, episodes = casts[0].takes.length;
const PALETTE = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#332288', '#999933'];
const RATES = [1, 2, 5, 10, 25, 50];
// Radius of a 95 % region of two independent normal numbers, in standard deviations.
const REGION = Math.sqrt(-2 * Math.log(0.05));
const FLOOR_DB = 30;
// Of the picture's height that a lobe of gain 1 takes.
const REACH = 0.92;

// ---- What was recorded ----

const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const floats = text => new Float32Array(bytes(text).buffer);
const decoded = new Map();
function takeOf(cast, episode) {
  const key = cast * episodes + episode;
  if (!decoded.has(key)) {
    const t = casts[cast].takes[episode];
    decoded.set(key, {
      truth: floats(t.truth), estimate: floats(t.estimate), beams: new Int8Array(bytes(t.beams).buffer),
      shares: floats(t.shares), aims: floats(t.aims), cells: floats(t.cells), lamps: bytes(t.lamps),
      lines: t.lines.map(floats), bounds: t.bounds.map(floats),
    });
  }
  return decoded.get(key);
}
const shown = (line, x) => line.factor * (line.root ? Math.sqrt(x) : x);

// ---- State and controls ----

const state = {slot: 0, playing: false, rate: 10, episode: 0, scale: 'linear'};
const stage = document.getElementById('stage');
const make = (tag, props = {}, ...children) => {
  const e = Object.assign(document.createElement(tag), props);
  e.append(...children);
  return e;
};
const option = (value, text, selected) => make('option', {value, textContent: text, selected});
const choice = (options, change) => {
  const e = make('select', {}, ...options);
  e.addEventListener('change', () => change(e.value));
  return e;
};
const button = (text, title, click, extra = {}) => {
  const e = make('button', {type: 'button', textContent: text, title, ...extra});
  e.setAttribute('aria-label', title);
  e.addEventListener('click', click);
  return e;
};
const labelled = (text, control) => make('label', {}, text, control);

const playButton = button('▶ Play', 'Play or pause (space)', () => play(!state.playing), {className: 'play'});
const scrub = make('input', {type: 'range', min: 0, max: Math.max(T - 1, 0), value: 0, step: 1});
scrub.setAttribute('aria-label', 'slot');
scrub.addEventListener('input', () => { play(false); go(+scrub.value); });
const told = make('output');
const speed = choice(RATES.map(r => {
  const real = scene.slot_s && Math.abs(r * scene.slot_s - 1) < 1e-6 ? ', real time' : '';
  return option(r, `${r} slot${r > 1 ? 's' : ''}/s${real}`, r === state.rate);
}), v => { state.rate = +v; });
const bar = make('div', {className: 'bar'},
  button('|◀', 'First slot (Home)', () => { play(false); go(0); }, {className: 'wide'}),
  button('◀', 'One slot back (left)', () => { play(false); go(state.slot - 1); }),
  playButton,
  button('▶', 'One slot on (right)', () => { play(false); go(state.slot + 1); }),
  scrub, told, speed);
const choices = make('div', {className: 'choices'});
if (episodes > 1) {
  choices.append(labelled('Episode', choice(
    Array.from({length: episodes}, (_, e) => option(e, `${e}`, e === 0)),
    v => { state.episode = +v; renew(); })));
}
if (plan) {
  choices.append(labelled('Lobes', choice(
    [option('linear', 'gain', true), option('db', `gain in dB, down to −${FLOOR_DB}`)],
    v => { state.scale = v; draw(); })));
}
if (casts.length > 1) {
  choices.append(labelled('Views', choice([option(2, 'two', true), option(1, 'one')], v => {
    views[1].root.hidden = +v === 1;
    both.classList.toggle('one', +v === 1);
    renew();
  })));
}
const both = make('div', {className: casts.length > 1 ? 'views' : 'views one'});

function play(on) {
  if (on && state.slot >= T - 1) go(0);
  state.playing = on && T > 1;
  playButton.textContent = state.playing ? '⏸ Pause' : '▶ Play';
  if (state.playing) {
    last = undefined;
    owed = 0;
    requestAnimationFrame(tick);
  }
}
function go(slot) {
  state.slot = Math.min(Math.max(slot, 0), T - 1);
  draw();
}
let last, owed = 0;
function tick(now) {
  if (!state.playing) return;
  // A tab that slept owes nothing.
  owed += last === undefined ? 0 : Math.min(now - last, 250) / 1000 * state.rate;
  last = now;
  const steps = Math.floor(owed);
  if (steps > 0) {
    owed -= steps;
    go(state.slot + steps);
    if (state.slot >= T - 1) return play(false);
  }
  requestAnimationFrame(tick);
}
document.addEventListener('keydown', e => {
  const typing = ['SELECT', 'INPUT', 'TEXTAREA'].includes(e.target.tagName);
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const moves = {ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -T, End: T};
  if (e.key === ' ' && e.target.tagName !== 'SELECT') {
    e.preventDefault();
    play(!state.playing);
  } else if (e.key in moves && !(typing && e.target !== scrub)) {
    e.preventDefault();
    play(false);
    go(state.slot + moves[e.key]);
  }
});
// A button that has the focus would take the space bar for itself.
document.addEventListener('keyup', e => {
  if (e.key === ' ' && e.target.tagName === 'BUTTON') e.preventDefault();
});

// ---- Colours ----

const dark = matchMedia('(prefers-color-scheme: dark)');
let ink;
function inks() {
  const style = getComputedStyle(document.documentElement);
  ink = Object.fromEntries(['ink', 'paper', 'line', 'soft', 'quiet', 'ground', 'road', 'accent']
    .map(name => [name, style.getPropertyValue('--' + name).trim()]));
}
/// A colour that can be seen on the paper.
function tone(hex) {
  const rgb = [1, 3, 5].map(i => parseInt(hex.slice(i, i + 2), 16));
  const light = (0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]) / 255;
  const share = dark.matches ? Math.max(0, 0.62 - light) : 0;
  return `rgb(${rgb.map(x => Math.round(x + (255 - x) * share)).join(' ')})`;
}
const faded = (rgb, alpha) => rgb.replace(')', ` / ${alpha})`);
const moverColour = i => tone(PALETTE[i % PALETTE.length]);

// ---- The view from above ----

const place = (theta, d) => [-d * Math.cos(theta), d * Math.sin(theta)];
/// What has to be in the picture, of one episode.
function extent(episode) {
  let left = 0, right = 0, top = plan.road_y_m || 0;
  casts.forEach((_, c) => {
    const {truth} = takeOf(c, episode);
    for (let i = 0; i < truth.length; i += 2) {
      const [x, y] = place(truth[i], truth[i + 1]);
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.max(top, y);
    }
  });
  // Few vehicles in few slots would make it a tower.
  const margin = Math.max(0.05 * (right - left) + 1, (2.2 * top - right + left) / 2);
  left -= margin;
  right += margin;
  const bottom = -0.06 * (right - left);
  return {left, right, bottom, top: Math.max(top * 1.15 + 1, 0.4 * (right - left) + bottom)};
}

/// Directions in which lobes are drawn, and the phases of all antennas there.
const DIRECTIONS = 720;
let phases;
function lobe(take, slot, mover) {
  const n = plan.antennas;
  if (!phases) {
    phases = {cos: new Float32Array((DIRECTIONS + 1) * n), sin: new Float32Array((DIRECTIONS + 1) * n)};
    for (let d = 0; d <= DIRECTIONS; d++) {
      const step = Math.PI * Math.cos(Math.PI * d / DIRECTIONS);
      for (let m = 0; m < n; m++) {
        phases.cos[d * n + m] = Math.cos(step * m);
        phases.sin[d * n + m] = Math.sin(step * m);
      }
    }
  }
  const from = (slot * K + mover) * n * 2;
  let norm = 0;
  for (let m = 0; m < 2 * n; m++) norm += take.beams[from + m] ** 2;
  const out = new Float32Array(DIRECTIONS + 1);
  for (let d = 0; d <= DIRECTIONS; d++) {
    let re = 0, im = 0;
    for (let m = 0; m < n; m++) {
      const x = take.beams[from + 2 * m], y = take.beams[from + 2 * m + 1];
      const c = phases.cos[d * n + m], s = phases.sin[d * n + m];
      re += c * x - s * y;
      im += c * y + s * x;
    }
    out[d] = norm > 0 ? (re * re + im * im) / (norm * n) : 0;
  }
  return out;
}
const radius = gain => state.scale === 'db'
  ? Math.max(0, 1 + 10 * Math.log10(Math.max(gain, 1e-9)) / FLOOR_DB) : gain;

function nice(x) {
  const power = 10 ** Math.floor(Math.log10(x));
  return [1, 2, 5, 10].map(f => f * power).find(r => r >= x);
}

function drawPlan(view) {
  const {context: g, width: w, height: h} = fitted(view.plan);
  const box = view.box, per = w / (box.right - box.left), base = h + box.bottom * per;
  const at = (x, y) => [(x - box.left) * per, base - y * per];
  const slot = state.slot, take = view.take, small = w < 420;
  const font = px => `${px}px system-ui, sans-serif`;
  g.clearRect(0, 0, w, h);
  g.fillStyle = ink.ground;
  g.fillRect(0, 0, w, h);
  const [ox, oy] = at(0, 0);
  // Road, then rings of equal distance.
  if (plan.road_y_m) {
    const [, y] = at(0, plan.road_y_m), half = Math.max(7, 0.06 * h);
    g.fillStyle = ink.road;
    g.fillRect(0, y - half, w, 2 * half);
  }
  const ring = nice((box.right - box.left) / 8);
  g.font = font(11);
  // The words at the origin stand behind it, or before it where there is no room.
  const words = 14 + g.measureText(plan.origin).width, after = ox + words < w;
  g.font = font(10);
  g.textAlign = 'center';
  g.lineWidth = 1;
  for (let r = ring; r < Math.hypot(box.right - box.left, box.top); r += ring) {
    g.strokeStyle = ink.line;
    g.beginPath();
    g.arc(ox, oy, r * per, Math.PI, 2 * Math.PI);
    g.stroke();
    // Beside the words at the origin.
    g.fillStyle = ink.quiet;
    for (const side of [-1, 1]) {
      const x = ox + side * r * per, free = (side > 0) !== after || r * per > words + 30;
      if (free && x > 12 && x < w - 12) g.fillText(`${r} m`, x, oy + 12);
    }
  }
  g.strokeStyle = ink.line;
  g.beginPath();
  g.moveTo(0, oy);
  g.lineTo(w, oy);
  g.stroke();
  const of = (array, i, n) => Array.from({length: n}, (_, j) => array[(slot * K + i) * n + j]);
  for (let i = 0; i < K; i++) {
    // The lobe, deeper in colour with more power.
    const colour = moverColour(i), gains = lobe(take, slot, i);
    g.beginPath();
    g.moveTo(ox, oy);
    for (let d = 0; d <= DIRECTIONS; d++) {
      const r = REACH * box.top * radius(gains[d]) * per, theta = Math.PI * d / DIRECTIONS;
      g.lineTo(ox - r * Math.cos(theta), oy - r * Math.sin(theta));
    }
    g.closePath();
    g.fillStyle = faded(colour, 0.12 + 0.4 * (take.shares[slot * K + i] || 0));
    g.fill();
    g.strokeStyle = colour;
    g.lineWidth = 1.2;
    g.stroke();
    const aim = take.aims[slot * K + i];
    if (aim === aim && take.aims.length) {
      g.setLineDash([2, 4]);
      g.beginPath();
      g.moveTo(ox, oy);
      g.lineTo(ox - 4 * w * Math.cos(aim), oy - 4 * w * Math.sin(aim));
      g.strokeStyle = faded(colour, 0.75);
      g.stroke();
      g.setLineDash([]);
    }
  }
  for (let i = 0; i < K; i++) {
    const colour = moverColour(i);
    // The way so far.
    g.strokeStyle = faded(colour, 0.5);
    g.lineWidth = 1.5;
    g.beginPath();
    for (let t = Math.max(0, slot - 40); t <= slot; t++) {
      const n = 2 * (t * K + i), [x, y] = at(...place(take.truth[n], take.truth[n + 1]));
      t === Math.max(0, slot - 40) ? g.moveTo(x, y) : g.lineTo(x, y);
    }
    g.stroke();
    // Where it is taken to be, and how sure that is: an ellipse in angle and distance.
    const [theta, d, spread, depth] = of(take.estimate, i, 4);
    g.beginPath();
    for (let n = 0; n <= 48; n++) {
      const turn = 2 * Math.PI * n / 48;
      const angle = Math.min(Math.PI, Math.max(0, theta + REGION * spread * Math.cos(turn)));
      const [x, y] = at(...place(angle, Math.max(0, d + REGION * depth * Math.sin(turn))));
      n ? g.lineTo(x, y) : g.moveTo(x, y);
    }
    g.closePath();
    g.fillStyle = faded(colour, 0.16);
    g.fill();
    g.lineWidth = 1.5;
    g.strokeStyle = faded(colour, 0.85);
    g.stroke();
  }
  for (let i = 0; i < K; i++) {
    const colour = moverColour(i), [theta, d] = of(take.truth, i, 2), [x, y] = at(...place(theta, d));
    const size = small ? 4 : 5.5;
    if (scene.lamp && take.lamps[slot * K + i]) {
      g.beginPath();
      g.arc(x, y, size + 6, 0, 7);
      g.fillStyle = 'rgb(245 183 0 / .45)';
      g.fill();
      g.lineWidth = 2;
      g.strokeStyle = 'rgb(245 183 0)';
      g.stroke();
    }
    g.beginPath();
    g.arc(x, y, size, 0, 7);
    g.fillStyle = colour;
    g.fill();
    g.lineWidth = 1.5;
    g.strokeStyle = ink.paper;
    g.stroke();
    const [et, ed] = of(take.estimate, i, 4), [ex, ey] = at(...place(et, ed)), s = small ? 3 : 4;
    g.lineWidth = 1.8;
    g.strokeStyle = ink.ink;
    g.beginPath();
    g.moveTo(ex - s, ey - s);
    g.lineTo(ex + s, ey + s);
    g.moveTo(ex - s, ey + s);
    g.lineTo(ex + s, ey - s);
    g.stroke();
    g.font = `600 ${small ? 10 : 12}px system-ui, sans-serif`;
    g.textAlign = 'center';
    g.lineWidth = 3;
    g.strokeStyle = ink.ground;
    g.strokeText(`${i + 1}`, x, y - size - 8);
    g.fillStyle = ink.ink;
    g.fillText(`${i + 1}`, x, y - size - 8);
  }
  // The array.
  g.fillStyle = ink.ink;
  g.fillRect(ox - 9, oy, 18, 4);
  g.font = font(11);
  g.textAlign = after ? 'left' : 'right';
  g.fillText(plan.origin, after ? ox + 14 : ox - 14, oy + 12);
}

// ---- Time lines ----

/// The canvas at the screen's own resolution.
function fitted(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return {context, width, height};
}
const AXIS = 44, EDGE = 6;
const slotX = (t, w) => AXIS + (w - AXIS - EDGE) * (T > 1 ? t / (T - 1) : 0.5);
const number = x => {
  if (!Number.isFinite(x)) return '–';
  const size = Math.abs(x);
  if (Number.isInteger(x) && size < 1e5) return `${x}`;
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return x.toExponential(1);
  return x.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3);
};

/// Least and greatest shown values of a line, in all views.
function range(n) {
  const line = lines[n];
  let lo = Infinity, hi = -Infinity;
  for (const view of views.filter(v => !v.root.hidden)) {
    for (const array of [view.take.lines[n], view.take.bounds[n]]) {
      for (const raw of array) {
        const x = shown(line, raw);
        if (Number.isFinite(x) && (!line.log || x > 0)) [lo, hi] = [Math.min(lo, x), Math.max(hi, x)];
      }
    }
  }
  if (lo > hi) [lo, hi] = line.log ? [0.1, 1] : [0, 1];
  if (line.log) return [lo, hi > lo ? hi : lo * 10];
  if (lo > 0 && lo < 0.6 * hi) lo = 0;
  return hi > lo ? [lo, hi] : [lo - 0.5, hi + 0.5];
}

/// A band for each mover, filled down to the least value.
function paintBands(g, line, array, w, h, [lo, hi]) {
  const band = h / K;
  for (let i = 0; i < K; i++) {
    const base = (i + 1) * band - 1, y = t => base - (band - 4) * (shown(line, array[t * K + i]) - lo) / (hi - lo);
    g.strokeStyle = ink.line;
    g.strokeRect(AXIS, base, w - AXIS - EDGE, 0);
    g.fillStyle = ink.quiet;
    g.fillText(`${i + 1}`, AXIS - 5, base - band / 2 + 5);
    g.beginPath();
    g.moveTo(slotX(0, w), base);
    for (let t = 0; t < T; t++) g.lineTo(slotX(t, w), y(t));
    g.lineTo(slotX(T - 1, w), base);
    g.fillStyle = faded(moverColour(i), 0.3);
    g.fill();
    g.beginPath();
    for (let t = 0; t < T; t++) t ? g.lineTo(slotX(t, w), y(t)) : g.moveTo(slotX(t, w), y(t));
    g.strokeStyle = moverColour(i);
    g.lineWidth = 1.2;
    g.stroke();
    g.lineWidth = 1;
  }
}
/// A line, once for each choice of agents: its cursor lies above.
function paintLine(view, n) {
  const {context: g, width: w, height: h} = fitted(view.lines[n].track.canvas);
  const line = lines[n], [lo, hi] = range(n);
  g.clearRect(0, 0, w, h);
  const scale = line.log ? Math.log : x => x;
  const y = x => {
    const share = (scale(x) - scale(lo)) / (scale(hi) - scale(lo));
    return h - 8 - (h - 16) * share;
  };
  g.font = '10px system-ui, sans-serif';
  g.textAlign = 'right';
  g.lineWidth = 1;
  if (line.each) return paintBands(g, line, view.take.lines[n], w, h, [lo, hi]);
  for (const x of [lo, hi]) {
    g.strokeStyle = ink.line;
    g.beginPath();
    g.moveTo(AXIS, y(x));
    g.lineTo(w - EDGE, y(x));
    g.stroke();
    g.fillStyle = ink.quiet;
    g.fillText(number(x), AXIS - 5, y(x) + 3.5);
  }
  const curve = (array, colour, width, dash = []) => {
    let open = false;
    g.beginPath();
    for (let t = 0; t < T; t++) {
      const x = shown(line, array[t]);
      // Nothing is 0 on a logarithmic scale.
      if (!Number.isFinite(x) || (line.log && x <= 0)) { open = false; continue; }
      open ? g.lineTo(slotX(t, w), y(x)) : g.moveTo(slotX(t, w), y(x));
      open = true;
    }
    g.setLineDash(dash);
    g.lineWidth = width;
    g.strokeStyle = colour;
    g.stroke();
    g.setLineDash([]);
  };
  const other = views[1 - view.index];
  if (other && !other.root.hidden && other.cast !== view.cast) {
    curve(other.take.lines[n], faded(tone(casts[other.cast].colour), 0.35), 1.2);
  }
  if (view.take.bounds[n].length) curve(view.take.bounds[n], ink.quiet, 1, [4, 3]);
  curve(view.take.lines[n], tone(casts[view.cast].colour), 1.6);
}
function drawLine(view, n) {
  const part = view.lines[n], line = lines[n], count = line.each ? K : 1;
  const values = Array.from({length: count}, (_, i) => number(shown(line, view.take.lines[n][state.slot * count + i])));
  say(part.value, `${values.join(' · ')} ${line.unit}`);
  part.track.move();
}
/// Text that is the same costs nothing.
const say = (element, text) => { if (element.textContent !== text) element.textContent = text; };

/// Rows of lamps, a column for each slot.
function paintLamps(view) {
  const {context: g, width: w, height: h} = fitted(view.lamps.canvas), row = h / K;
  const step = T > 1 ? (w - AXIS - EDGE) / (T - 1) : 8;
  // The columns at the ends are cut, so that none lies on the names of the rows.
  const left = t => Math.max(slotX(t, w) - step / 2, AXIS), right = t => Math.min(slotX(t, w) + step / 2, w - EDGE + 2);
  g.clearRect(0, 0, w, h);
  g.font = '10px system-ui, sans-serif';
  g.textAlign = 'right';
  for (let i = 0; i < K; i++) {
    g.fillStyle = ink.quiet;
    g.fillText(`${i + 1}`, AXIS - 5, (i + 0.5) * row + 3.5);
    g.fillStyle = ink.soft;
    g.fillRect(AXIS, i * row + 1, w - AXIS - EDGE + 2, row - 2);
    g.fillStyle = moverColour(i);
    for (let t = 0; t < T; t++) {
      if (view.take.lamps[t * K + i]) g.fillRect(left(t), i * row + 1, Math.max(right(t) - left(t) - 0.5, 1), row - 2);
    }
  }
}

/// A canvas with slots along it and a cursor above it, which goes to the slot that is pointed at.
function trackOf(height) {
  const canvas = make('canvas'), cursor = make('i', {className: 'cursor'});
  canvas.style.height = `${height}px`;
  const move = () => { cursor.style.transform = `translateX(${Math.round(slotX(state.slot, canvas.clientWidth))}px)`; };
  const scrubTo = e => {
    const box = canvas.getBoundingClientRect();
    const share = (e.clientX - box.left - AXIS) / (box.width - AXIS - EDGE);
    play(false);
    go(Math.round(share * (T - 1)));
  };
  canvas.addEventListener('pointerdown', e => { canvas.setPointerCapture(e.pointerId); scrubTo(e); });
  canvas.addEventListener('pointermove', e => { if (e.buttons) scrubTo(e); });
  return {canvas, move, root: make('div', {className: 'track'}, canvas, cursor)};
}

// ---- Views ----

function viewOf(index) {
  const view = {index, cast: index, root: make('section', {className: 'view'})};
  view.swatch = make('i');
  view.choice = choice(casts.map((c, i) => option(i, c.agent, i === view.cast)), v => {
    view.cast = +v;
    renew();
  });
  view.choice.setAttribute('aria-label', index ? 'agent on the right' : 'agent on the left');
  view.about = make('p', {className: 'about'});
  view.root.append(make('header', {}, view.swatch, view.choice), view.about);
  if (plan) {
    view.plan = make('canvas', {className: 'plan'});
    view.plan.setAttribute('role', 'img');
    view.root.append(view.plan);
  }
  if (columns.length) {
    const head = make('tr', {}, make('th', {textContent: ''}));
    if (scene.lamp) head.append(make('th', {textContent: scene.lamp}));
    const title = c => c.unit ? `${c.label}, ${c.unit}` : c.label;
    columns.forEach(c => head.append(make('th', {className: 'n', textContent: title(c)})));
    view.rows = movers.map((name, i) => {
      const dot = make('span', {className: 'dot'});
      const lamp = make('span', {className: 'lamp'}), cells = columns.map(() => make('td', {className: 'n'}));
      const row = {dot, lamp, cells};
      const words = make('span', {className: 'wide', textContent: name});
      row.tr = make('tr', {}, make('td', {}, dot, words, make('span', {className: 'narrow', textContent: i + 1})));
      if (scene.lamp) row.tr.append(make('td', {}, row.lamp));
      row.tr.append(...row.cells);
      return row;
    });
    view.root.append(make('div', {className: 'scroll', tabIndex: 0},
      make('table', {}, make('tbody', {}, head, ...view.rows.map(r => r.tr)))));
  }
  if (scene.lamp) {
    view.lamps = trackOf(10 * K);
    view.root.append(make('div', {className: 'line'},
      make('p', {}, make('span', {textContent: `${scene.lamp} on, slot by slot`})), view.lamps.root));
  }
  view.lines = lines.map(line => {
    const track = trackOf(line.each ? 20 * K : plan ? 62 : 90), value = make('b');
    const unit = line.unit ? `, ${line.unit}` : '', log = line.log ? ' (logarithmic)' : '';
    const bound = line.bound ? `; dashed: ${line.bound}` : '';
    view.root.append(make('div', {className: 'line'},
      make('p', {}, make('span', {textContent: line.label + unit + log + bound}), value), track.root));
    return {track, value};
  });
  both.append(view.root);
  return view;
}

/// After another choice, size or colour scheme.
function renew() {
  inks();
  for (const view of views) {
    const cast = casts[view.cast];
    view.take = takeOf(view.cast, state.episode);
    view.swatch.style.background = tone(cast.colour);
    view.about.textContent = cast.about;
    if (plan) {
      view.box = extent(state.episode);
      const {left, right, bottom, top} = view.box;
      view.plan.style.aspectRatio = `${right - left} / ${top - bottom}`;
      view.plan.setAttribute('aria-label', `${cast.agent}, seen from above: ${scene.caption}`);
    }
    if (view.rows) view.rows.forEach((row, i) => { row.dot.style.background = moverColour(i); });
  }
  for (const view of views.filter(v => !v.root.hidden)) {
    lines.forEach((_, n) => paintLine(view, n));
    if (scene.lamp) paintLamps(view);
  }
  draw();
}

function draw() {
  scrub.value = state.slot;
  const time = scene.slot_s ? ` · ${(state.slot * scene.slot_s).toFixed(2)} s` : '';
  told.textContent = `slot ${state.slot} of ${T}${time}`;
  for (const view of views) {
    if (view.root.hidden) continue;
    if (plan) drawPlan(view);
    if (view.rows) {
      view.rows.forEach((row, i) => {
        const n = state.slot * K + i;
        row.lamp.classList.toggle('on', view.take.lamps[n] === 1);
        columns.forEach((c, j) => {
          const x = view.take.cells[n * columns.length + j];
          say(row.cells[j], Number.isFinite(x) ? x.toFixed(c.digits) : '–');
        });
      });
    }
    if (scene.lamp) view.lamps.move();
    lines.forEach((_, n) => drawLine(view, n));
  }
}

function legend() {
  const sign = (shape, text) => {
    const li = make('li');
    li.innerHTML = `<svg width="26" height="14" viewBox="0 0 26 14" fill="none" stroke="currentColor">${shape}</svg>`;
    li.append(text);
    return li;
  };
  const out = make('ul', {className: 'legend'});
  if (plan) {
    out.append(
      sign('<circle cx="13" cy="7" r="4.5" fill="currentColor"/>', 'true place'),
      sign('<path d="M9 3l8 8m0-8l-8 8"/><ellipse cx="13" cy="7" rx="12" ry="6"/>', plan.estimate),
      sign('<path d="M2 12Q14 -6 24 4Q16 9 2 12Z" fill="currentColor" fill-opacity=".25"/>',
        'beam: |aᴴ(θ)f|² in every direction, deeper in colour with more power'));
    if (takeOf(0, 0).aims.length) {
      out.append(sign('<path d="M1 12L25 2" stroke-dasharray="2 3"/>', 'where it is steered'));
    }
  }
  if (scene.lamp) {
    const ring = '<circle cx="13" cy="7" r="5.5" fill="#f5b700" fill-opacity=".45" stroke="#f5b700"/>';
    out.append(sign(ring, `${scene.lamp} on`));
  }
  if (casts.length > 1) {
    out.append(sign('<path d="M1 9l6-5 6 6 6-6 6 4" opacity=".4"/>', 'faint curve: the other view’s agent'));
  }
  const open = window.innerWidth > 760;
  return make('details', {className: 'signs', open}, make('summary', {textContent: 'What the signs mean'}), out);
}

stage.append(bar, choices, ...(plan || casts.length > 1 ? [legend()] : []), both);
const views = casts.length > 1 ? [viewOf(0), viewOf(1)] : [viewOf(0)];
const keys = make('p', {className: 'keys'});
keys.innerHTML = '<kbd>space</kbd> plays and pauses, <kbd>←</kbd> <kbd>→</kbd> go one slot, <kbd>PgUp</kbd> '
  + '<kbd>PgDn</kbd> ten, <kbd>Home</kbd> <kbd>End</kbd> to the ends; drag along a time line to go to a slot. '
  + 'Both views have the same draws of noise.';
stage.append(keys);
stage.hidden = false;
dark.addEventListener('change', renew);
let width = 0;
new ResizeObserver(() => {
  if (both.clientWidth !== width) {
    width = both.clientWidth;
    renew();
  }
}).observe(both);
renew();
})();
